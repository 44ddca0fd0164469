#![no_main]

use device_writeback_tests::fuzz_targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::plan_file(input));
