//! No account learns anything of another: whatever a token asks, its answers are the same, byte for byte, whatever the
//! registrations of the accounts that it may not see, and whatever becomes of them. (How long it takes is left out.)
//!
//! Two sites live through the same life. In one of them the accounts that the token may not see live as well; the other
//! has never heard of a row of theirs. Accounts, their tree, devices, tokens, rows and requests are all drawn by lot.

mod life;
mod requests;

use proptest::prelude::*;

use life::{Life, Pair, life};
use requests::{Wish, wish};

/// What the token's requests made each site flush.
fn flushed(pair: &Pair) -> [Vec<String>; 2] {
    [&pair.alone, &pair.among].map(|site| {
        let asked = site.fake.asked.lock().unwrap();
        let shown = |one: &crate::flush::Request| format!("{one:?}");
        asked.iter().map(shown).collect()
    })
}

async fn others_make_no_difference(life: &Life, wishes: &[Wish]) -> Result<(), TestCaseError> {
    let pair = life.live();
    for wish in wishes {
        let wish = wish.made_of(&pair, life).await;
        let alone = wish.ask(&pair.alone).await;
        let among = wish.ask(&pair.among).await;
        prop_assert_eq!(alone.show(), among.show(), "{:?}", wish);
    }
    let [alone, among] = flushed(&pair);
    prop_assert_eq!(alone, among);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn the_others_make_no_difference(life in life(), wishes in proptest::collection::vec(wish(), 1..10)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(others_make_no_difference(&life, &wishes))?;
    }
}

/// The property can fail: what is different for a token that may see it is found.
#[tokio::test]
async fn a_leak_would_be_found() {
    let mut life = Life::of_two_accounts();
    life.steps = vec![life::Step::Put(life::Row::of(1))];
    let pair = life.live();
    for (seen, differs) in [
        ("/v2/accounts/a1/registrations/count", true),
        ("/v2/accounts/a0/registrations/count", false),
    ] {
        let answers = [&pair.alone, &pair.among].map(|site| site.get(seen));
        let [alone, among] = answers;
        let (alone, among) = (alone.answer().await, among.answer().await);
        assert_eq!(alone.show() != among.show(), differs, "{seen}");
    }
}
