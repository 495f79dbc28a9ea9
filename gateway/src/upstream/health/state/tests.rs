use kamaitachi_policies::outlier::Places;

use super::*;

const CONFIG: HealthConfig = HealthConfig {
    unhealthy_after: 3,
    healthy_after: 2,
    lost_hedges: 2,
    back_off: Duration::from_secs(1),
    max_back_off: Duration::from_secs(3),
    is_probed: false,
};

fn made(config: HealthConfig) -> Health {
    Health::new(config, LatePlaces::new(Places::default(), 2))
}

fn fail(health: &Health, times: u32, now: Instant) {
    (0..times).for_each(|_| health.failed(now));
}

#[test]
fn failures_in_a_row_and_no_others_take_a_node_out() {
    let (health, now) = (made(CONFIG), Instant::now());
    fail(&health, 2, now);
    health.answered();
    fail(&health, 2, now);
    assert!(health.is_up());
    fail(&health, 1, now);
    assert!(!health.is_up());
}

#[test]
fn a_back_off_ends_with_time_and_doubles_up_to_its_limit() {
    let (health, mut now) = (made(CONFIG), Instant::now());
    fail(&health, 3, now);
    for secs in [1, 2, 3, 3] {
        let until = now + Duration::from_secs(secs);
        health.tick(until - Duration::from_millis(1));
        assert!(!health.is_up(), "{secs}");
        health.tick(until);
        assert!(health.is_up(), "{secs}");
        now = until;
        fail(&health, 1, now);
        assert!(!health.is_up(), "one failure after a back-off is enough");
    }
}

#[test]
fn an_answer_makes_it_as_good_as_new() {
    let (health, now) = (made(CONFIG), Instant::now());
    fail(&health, 3, now);
    health.answered();
    assert!(health.is_up());
    fail(&health, 3, now);
    health.tick(now + Duration::from_secs(1));
    assert!(health.is_up(), "the back-off is the shortest again");
}

#[test]
fn probes_need_several_failures_but_not_ready_counts_at_once() {
    let health = made(CONFIG);
    for probed in [Probed::NoAnswer, Probed::NoAnswer, Probed::Ready, Probed::NoAnswer] {
        health.probed(probed);
        assert!(health.is_up());
    }
    health.probed(Probed::NoAnswer);
    health.probed(Probed::NoAnswer);
    assert!(!health.is_up());

    let health = made(CONFIG);
    health.probed(Probed::NotReady);
    assert!(!health.is_up());
}

#[test]
fn probes_bring_it_back_after_several_successes_in_a_row() {
    let health = made(CONFIG);
    health.probed(Probed::NotReady);
    for probed in [Probed::Ready, Probed::NoAnswer, Probed::Ready] {
        health.probed(probed);
        assert!(!health.is_up());
    }
    health.probed(Probed::Ready);
    assert!(health.is_up());
}

#[test]
fn probes_end_a_back_off_but_not_with_earlier_successes() {
    let (health, now) = (made(CONFIG), Instant::now());
    (0..5).for_each(|_| health.probed(Probed::Ready));
    fail(&health, 3, now);
    health.probed(Probed::Ready);
    assert!(!health.is_up());
    health.probed(Probed::Ready);
    assert!(health.is_up());
}

#[test]
fn probes_end_the_first_back_off_and_no_other_until_it_has_answered() {
    let (health, mut now) = (made(CONFIG), Instant::now());
    let pass = || (0..9).for_each(|_| health.probed(Probed::Ready));
    fail(&health, 3, now);
    pass();
    assert!(health.is_up());
    for secs in [2, 3, 3] {
        fail(&health, 1, now);
        pass();
        assert!(!health.is_up(), "{secs}");
        now += Duration::from_secs(secs);
        health.tick(now);
        assert!(health.is_up(), "{secs}");
    }
    health.answered();
    fail(&health, 3, now);
    pass();
    assert!(health.is_up());
}

#[test]
fn the_end_of_a_back_off_does_not_overrule_probes() {
    let (health, now) = (made(CONFIG), Instant::now());
    health.probed(Probed::NotReady);
    fail(&health, 3, now);
    health.tick(now + Duration::from_secs(60));
    health.answered();
    assert!(!health.is_up());
}

#[test]
fn where_there_are_probes_one_must_pass_before_a_back_off_ends() {
    let config = HealthConfig { is_probed: true, ..CONFIG };
    let (health, now) = (made(config), Instant::now());
    health.probed(Probed::Ready);
    fail(&health, 3, now);
    let over = now + Duration::from_secs(1);
    health.tick(over);
    assert!(!health.is_up(), "earlier probes do not count");
    health.probed(Probed::Ready);
    assert!(!health.is_up(), "one does not end it before its time");
    health.tick(over);
    assert!(health.is_up());
}

#[test]
fn it_is_proven_by_probes_and_by_nothing_else() {
    let config = HealthConfig { is_probed: true, ..CONFIG };
    let (health, now) = (made(config), Instant::now());
    health.answered();
    assert!(health.is_up() && !health.is_proven());
    health.probed(Probed::Ready);
    assert!(health.is_proven());
    health.probed(Probed::NoAnswer);
    assert!(health.is_up() && !health.is_proven());
    health.probed(Probed::Ready);
    health.refused(now);
    assert!(!health.is_proven());
}

#[test]
fn it_can_serve_once_it_was_met_and_as_long_as_it_is_up() {
    let config = HealthConfig { is_probed: true, ..CONFIG };
    assert!(made(CONFIG).can_serve(), "nobody will ever know more");
    let health = made(config);
    assert!(health.is_up() && !health.can_serve());
    health.probed(Probed::NoAnswer);
    assert!(!health.can_serve());
    health.probed(Probed::Ready);
    assert!(health.can_serve());
    health.probed(Probed::NoAnswer);
    assert!(health.can_serve(), "one lost probe is an accident");
    health.probed(Probed::NotReady);
    assert!(!health.can_serve());

    let health = made(config);
    health.answered();
    assert!(health.can_serve());
    fail(&health, 3, Instant::now());
    assert!(!health.can_serve());
}

#[test]
fn only_so_many_nodes_are_out_for_being_late_and_any_number_for_failing() {
    let places = LatePlaces::new(Places::default(), 3);
    let nodes = [(); 3].map(|()| Health::new(CONFIG, Arc::clone(&places)));
    let now = Instant::now();
    let lose = |times: usize| (0..times).for_each(|_| nodes.iter().for_each(|n| n.lost(now)));
    let up = || nodes.each_ref().map(Health::is_up);
    lose(9);
    assert_eq!(up(), [false, true, true]);
    nodes[0].answered();
    lose(1);
    assert_eq!(up(), [true, false, true], "the place went to the next");
    fail(&nodes[2], 3, now);
    fail(&nodes[0], 3, now);
    assert_eq!(up(), [false; 3]);
    assert_eq!(nodes[1].ejections(), [0, 1, 0]);
    let [_, late, _] = nodes;
    drop(late);
    assert!(places.take().is_some(), "a node that is gone takes no place");
}

#[test]
fn a_node_that_says_that_it_is_going_is_left_alone_at_once() {
    let (health, now) = (made(CONFIG), Instant::now());
    health.refused(now);
    assert!(!health.is_up());
    assert_eq!(health.ejections(), [0, 0, 1]);
    health.tick(now + Duration::from_secs(1));
    assert!(health.is_up());
}
