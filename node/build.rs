//! Compiles the protocol of the cache group, without an outside compiler.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let file = "proto/kamaitachi/group/v1/group.proto";
    println!("cargo::rerun-if-changed={file}");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_file(file)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("group.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .bytes(".")
        .generate_default_stubs(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
