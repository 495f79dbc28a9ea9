//! The one place where the whole stack is composed, in the order in which a request meets it.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use http::{HeaderName, Request, Response};
use http_body_util::Limited;
use kamaitachi_layers::{
    body::Body,
    circuit_breaker::{Circuit, CircuitBreakerLayer},
    hedge::Ticker,
    retry::NextNode,
    route::{Route, Table},
    select::{Member, Pool, Select},
};
use kamaitachi_serve::server::Incoming;
use tower::{Service, ServiceBuilder, retry::RetryLayer, util::Either};

use crate::{
    about::AboutLayer,
    blame::blame,
    cap::CapLayer,
    cluster::Refill,
    config::{NodeAddr, RouteConfig},
    edge::AnswerLayer,
    fresh::FreshLayer,
    gateway::{Shared, SharedRoute},
    hedge::hedge,
    limit::hide_exempt_key,
    metrics::{NO_ROUTE, OWN},
    order::order,
    own::{Own, Page},
    private::PrivateLayer,
    scatter,
    upstream::Connector,
};

/// Names in every answer the node that gave it.
pub const X_KAMAITACHI_NODE: HeaderName = HeaderName::from_static("x-kamaitachi-node");

/// The body of a request on its way to a node.
pub type RequestBody = Limited<Incoming>;

/// What a gateway serves: `S` answers every request.
pub struct Stack<S> {
    /// The service.
    pub service: S,
    /// Bring the pools of the routes up to date with a list of nodes.
    pub refills: Vec<Refill>,
    /// What tells when answers are late; to be driven on the worker's thread.
    pub ticker: Ticker,
    /// The layers in words, outermost first: those of all requests, then those of each route.
    pub text: Vec<String>,
}

/// Composes the stack of one worker out of what all workers share and the worker's own connections, of which `connect`
/// gives those with a time-out.
///
/// # Panics
///
/// Never: that the routes make a table was seen when the configuration was checked.
pub fn compose<C>(
    shared: &Arc<Shared>,
    pages: &[Page],
    connect: &dyn Fn(Duration) -> C,
) -> Stack<
    impl Service<Request<Incoming>, Response = Response<Body<C::Body>>, Error = Infallible>
    + Clone
    + use<C>
    + 'static,
>
where
    C: Connector<RequestBody> + Clone + 'static,
{
    let Shared { config, cluster, metrics, .. } = &**shared;
    let (mut refills, mut text, ticker) = (Vec::new(), Vec::new(), Ticker::new());

    let every_request = ServiceBuilder::new()
        // Outermost, so that whatever is answered and logged carries the id.
        .layer(shared.request_ids.clone())
        // What fails before a route has it is answered here; panics end here at the latest.
        .layer(AnswerLayer::counting_failures(metrics.recorder(NO_ROUTE)))
        // Before anything believes a header: who the client is, and what ends at this hop.
        .layer(config.forward.clone())
        // What is asked of no resource has no route.
        .layer(AboutLayer);
    text.push(format!("every request: {} → Route", order(&every_request)));

    let mut table = Table::builder();
    for SharedRoute { config: route, rate_limit } in &shared.routes {
        let tries = if route.retry { config.retry.max_tries } else { 1 };
        let pool = Pool::new(config.ring.replicas, config.ring.spread);
        let layers = ServiceBuilder::new()
            // From here on it is known whose request it is: counted and answered as the route's.
            .layer(AnswerLayer::counting_all(metrics.recorder(&route.name)))
            // The cheapest verdict first: a refusal reads no body and costs no node anything.
            .option_layer(rate_limit.clone())
            // The key that lifts limits has done its work; nodes must not see it.
            .option_layer(hide_exempt_key(&config.rate_limit))
            // Nothing further in can read more than the route allows.
            .layer(CapLayer::new(route.max_body))
            // Nodes know paths without the prefix, and keys are looked for in what nodes see.
            .option_layer(route.rewrite.clone())
            // What nodes say to each other is none of a client's business, whichever route leads there.
            .layer(PrivateLayer)
            // Who has written through this gateway reads it, unless its node is far behind.
            .layer(FreshLayer::new(Arc::clone(&shared.latest), route.target))
            // May read the body, so it stands outside of what is repeated.
            .layer(route.key(&config.limits))
            // What several nodes are asked about has tries of its own for each.
            .option_layer(scatter::layer(shared, route, &pool))
            // A request that was not taken comes back to here, and goes to the next node of the ring.
            .layer(RetryLayer::new(NextNode::new(tries, shared.budget.clone())))
            // A try that hangs does not fail: what is late is asked of the next node as well, within the same budget.
            .option_layer(hedge(shared, route, &ticker));
        let per_node = |circuit: Option<Circuit>| {
            ServiceBuilder::new()
                // Closest to the node: it hears of every try, and a refusal makes the next node's turn.
                .option_layer(circuit.map(|c| CircuitBreakerLayer::new(c).classifying(blame)))
        };
        let example = cluster.example_circuit().filter(|_| route.breaker);
        let [outer, inner] = [order(&layers), order(&per_node(example))];
        text.push(format!("{}: {outer} → Select from {:?} → {inner}", route.name, route.target));

        let (client, known) = (connect(route.timeout), Arc::clone(cluster));
        let RouteConfig { name, retry, breaker, .. } = route.clone();
        let member = move |addr: &NodeAddr| {
            let node = known.node(addr);
            let circuit = breaker.then(|| known.circuit(&name, addr)).flatten();
            let endpoint = per_node(circuit)
                .map_response(|response: Response<C::Body>| response.map(Body::streaming))
                .service(client.endpoint(&node, retry));
            // The name is one that was checked as an address, so it fits into a header.
            let member = Member::new(addr.as_str(), endpoint).ok()?;
            let member = member.with_health(node.flag().clone());
            Some(match known.joins().ramp(addr) {
                Some(ramp) => member.with_ramp(ramp),
                None => member,
            })
        };
        refills.push(Refill::new(route.target, pool.clone(), member));
        // The node is chosen last, by the key, among those that are up.
        let service = layers.service(Select::new(pool).naming(X_KAMAITACHI_NODE));
        for path in &route.paths {
            table = table.route(path, route.methods, Either::Left(service.clone()));
        }
    }

    for page in pages {
        let own = ServiceBuilder::new()
            .layer(AnswerLayer::counting_all(metrics.recorder(OWN)))
            .service(Own::new(*page, Arc::clone(shared), connect(config.upstream.timeout)));
        table = table.route(page.path(), page.methods(), Either::Right(own));
    }

    let table = table.build().expect("the same table was built when the configuration was checked");
    Stack { service: every_request.service(Route::new(table)), refills, ticker, text }
}

impl<S> fmt::Debug for Stack<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text.join("\n"))
    }
}

/// Composes the stack of the admin listener: pages alone.
///
/// # Panics
///
/// Never: the pages have paths of their own.
pub fn compose_admin<C>(
    shared: &Arc<Shared>,
    pages: &[Page],
    client: &C,
) -> impl Service<Request<Incoming>, Response = Response<Body<C::Body>>, Error = Infallible>
+ Clone
+ use<C>
+ 'static
where
    C: Connector<RequestBody> + Clone + 'static,
{
    let Shared { metrics, .. } = &**shared;
    let mut table = Table::builder();
    for page in pages {
        let own = ServiceBuilder::new()
            .layer(AnswerLayer::counting_all(metrics.recorder(OWN)))
            .service(Own::new(*page, Arc::clone(shared), client.clone()));
        table = table.route(page.path(), page.methods(), own);
    }
    let table = table.build().expect("every page has a path of its own");
    ServiceBuilder::new()
        .layer(shared.request_ids.clone())
        .layer(AnswerLayer::counting_failures(metrics.recorder(NO_ROUTE)))
        .service(Route::new(table))
}
