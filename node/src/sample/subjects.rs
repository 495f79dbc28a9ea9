//! The subjects of a sample: codes, names, tags.

use super::rng::Rng;

/// Subjects every sample holds, whatever its size: those that the load harness asks for.
pub(super) const ALWAYS: [&str; 8] = [
    "33:00000009",
    "33:00000010",
    "33:00000011",
    "33:00000012",
    "33:00000013",
    "33:00000014",
    "33:00000015",
    "33:00000016",
];

/// The first among the others.
const KNOWN: [&str; 3] = ["33:000001", "17:600606", "33:300033"];

/// Most subjects a sample can have: as many as the three families of codes hold.
pub(super) const MOST: u32 = 250_000;

/// All tag families with their keywords and how many of these a subject has.
const TAGS: [(&str, u64, &[&str]); 3] = [
    (
        "concept",
        3,
        &[
            "人工智能",
            "AI芯片",
            "半导体",
            "新能源汽车",
            "锂电池",
            "光伏",
            "储能",
            "云计算",
            "大数据",
            "5G通信",
            "物联网",
            "机器人",
            "生物医药",
            "创新药",
            "军工",
            "碳中和",
            "数字货币",
            "白酒",
            "Cloud Computing",
            "Green Hydrogen",
        ],
    ),
    (
        "industry",
        1,
        &[
            "银行",
            "证券",
            "保险",
            "房地产",
            "钢铁",
            "煤炭",
            "有色金属",
            "化工",
            "医药",
            "食品饮料",
            "家电",
            "汽车",
            "电子",
            "计算机",
            "通信",
            "传媒",
            "电力",
            "交通运输",
            "建筑",
            "农业",
        ],
    ),
    (
        "region",
        1,
        &[
            "北京", "上海", "深圳", "广东", "浙江", "江苏", "山东", "四川", "湖北", "福建", "安徽",
            "湖南",
        ],
    ),
];

const FIRST: [&str; 20] = [
    "华", "中", "国", "东", "金", "天", "海", "长", "南", "北", "新", "远", "大", "恒", "万", "宏",
    "永", "江", "龙", "星",
];
const SECOND: [&str; 20] = [
    "信", "泰", "达", "通", "源", "盛", "安", "和", "昌", "瑞", "兴", "光", "业", "利", "丰", "康",
    "联", "科", "方", "城",
];
const LAST: [&str; 15] = [
    "科技", "股份", "电子", "医药", "能源", "银行", "证券", "控股", "实业", "材料", "机械", "食品",
    "汽车", "通信", "集团",
];

/// The code of the `n`th subject.
pub(super) fn code(n: u32) -> String {
    let place = usize::try_from(n).unwrap_or(usize::MAX);
    if let Some(code) = ALWAYS.iter().chain(&KNOWN).nth(place) {
        return (*code).to_owned();
    }
    let rest = n - 11;
    // One of each family in turn, leaving out what came first.
    let (family, k) = (rest % 3, rest / 3);
    match family {
        0 => format!("33:{:06}", k + 2),
        1 => format!("17:{:06}", 600_000 + k + u32::from(k >= 606)),
        _ => format!("33:{:06}", 300_001 + k + u32::from(k >= 32)),
    }
}

/// What a sample says of a subject.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) status: &'static str,
    /// Days since 1970-01-01.
    pub(super) listed: i64,
    pub(super) tags: Vec<(&'static str, &'static str)>,
}

impl Subject {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let name = format!("{}{}{}", rng.pick(&FIRST), rng.pick(&SECOND), rng.pick(&LAST));
        let status = if rng.per_mille(970) { "213001" } else { "213002" };
        // From the opening of the Shanghai exchange, 1990-12-19, to the end of 2014.
        let listed = rng.between(7_657, 16_435);
        let mut tags = Vec::new();
        for (id, most, keywords) in TAGS {
            for _ in 0..1 + rng.next() % most {
                tags.push((id, *rng.pick(keywords)));
            }
        }
        tags.sort_unstable();
        tags.dedup();
        Self { name, status, listed, tags }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::store::rows::check_subject;

    #[test]
    fn every_code_is_a_subject_of_its_own() {
        let codes: HashSet<String> = (0..MOST).map(code).collect();
        assert_eq!(codes.len(), usize::try_from(MOST).unwrap());
        assert!(codes.iter().all(|code| check_subject(code).is_ok() && code.len() <= 11));
        for code in ALWAYS.iter().chain(&KNOWN) {
            assert!(codes.contains(*code));
        }
    }
}
