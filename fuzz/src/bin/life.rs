//! What is known of the life of a tree: whatever was parsed has no boot twice and no open file twice once more of
//! both is added, and what is wrong with the rest is told in one line.
#![no_main]

use backends::Life;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| match Life::parse(text) {
    Ok(mut life) => {
        let (boots, open) = (life.boots.clone(), life.open.clone());
        boots.iter().for_each(|boot| life.add_boot(&boot.id, boot.time));
        life.add_open(open);
        assert_eq!(life.boots, boots);
        assert!(life.open.is_sorted_by(|a, b| a < b));
        let again = serde_json::to_vec(&life).expect("it is text");
        assert_eq!(Life::parse(&again), Ok(life));
    }
    Err(why) => assert!(why.lines().count() <= 1, "{why:?}"),
});
