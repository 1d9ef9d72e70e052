//! Whose turn it is: stride scheduling (Waldspurger and Weihl, 1995). Whoever has something to do is served
//! in proportion to its weight, and whoever comes back after a pause is neither ahead nor behind.

/// Nobody weighs less: no tenant may, and a lane whose jobs were all taken back while it waited for a turn
/// has no weight at all. A turn as long as that would carry everybody to where single turns no longer count.
const LEAST: f64 = 0.01;

/// What is shared among all who take turns: where they are.
#[derive(Debug, Default)]
pub(super) struct Round {
    at: f64,
}

/// One that takes turns; the one with the least `pass` is next.
#[derive(Debug)]
pub(super) struct Stride {
    pub(super) pass: f64,
    weight: f64,
}

impl Stride {
    /// It has something to do from now on.
    pub(super) fn new(round: &Round, weight: f64) -> Self {
        let pass = round.at;
        Self {
            pass,
            weight: weight.max(LEAST),
        }
    }

    /// It has something to do again.
    pub(super) fn wake(&mut self, round: &Round, weight: f64) {
        self.pass = self.pass.max(round.at);
        self.weight = weight.max(LEAST);
    }

    /// It was served.
    pub(super) fn served(&mut self, round: &mut Round) {
        round.at = self.pass;
        self.pass += self.weight.recip();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_weight_is_no_eternity() {
        let mut round = Round::default();
        let mut nothing = Stride::new(&round, 0.0);
        (0..10).for_each(|_| nothing.served(&mut round));
        assert!(nothing.pass <= 1_000.0, "{}", nothing.pass);
    }

    #[test]
    fn shares_are_by_weight_and_nobody_saves_turns_up() {
        let mut round = Round::default();
        let mut two = [Stride::new(&round, 1.0), Stride::new(&round, 3.0)];
        let serve = |round: &mut Round, two: &mut [Stride; 2]| {
            let next = usize::from(two[1].pass < two[0].pass);
            two[next].served(round);
            next
        };
        let served: usize = (0..400).map(|_| serve(&mut round, &mut two)).sum();
        assert!((299..=301).contains(&served), "{served}");
        (0..1000).for_each(|_| two[1].served(&mut round));
        two[0].wake(&round, 1.0);
        let served: usize = (0..400).map(|_| serve(&mut round, &mut two)).sum();
        assert!((297..=301).contains(&served), "a pause gives no claim: {served}");
    }

    #[test]
    fn a_turn_of_no_weight_costs_nobody_his() {
        let mut round = Round::default();
        let mut none = Stride::new(&round, 0.0);
        none.served(&mut round);
        none.served(&mut round);
        let mut two = [Stride::new(&round, 1.0), Stride::new(&round, 1.0)];
        let mut served = [0, 0];
        for _ in 0..100 {
            let next = usize::from(two[1].pass < two[0].pass);
            two[next].served(&mut round);
            served[next] += 1;
        }
        assert_eq!(served, [50, 50]);
    }
}
