use proptest::prelude::*;

use super::*;

#[test]
fn a_message_has_the_kernel_s_form() {
    let mut writer = Writer::default();
    writer.message(0x0a03, REQUEST | CREATE, 7, |writer| {
        writer.bytes(&[1, 0, 0, 0]);
        writer.text(1, "weft");
        writer.nested(4, |writer| writer.number(2, 0xffff_ff9c));
    });
    let expected: &[&[u8]] = &[
        &44_u32.to_ne_bytes(),
        &0x0a03_u16.to_ne_bytes(),
        &0x0401_u16.to_ne_bytes(),
        &7_u32.to_ne_bytes(),
        &[0; 4],
        &[1, 0, 0, 0],
        // Five bytes of text, three of padding, which the length leaves out.
        &9_u16.to_ne_bytes(),
        &1_u16.to_ne_bytes(),
        b"weft\0\0\0\0",
        &12_u16.to_ne_bytes(),
        &0x8004_u16.to_ne_bytes(),
        &8_u16.to_ne_bytes(),
        &2_u16.to_ne_bytes(),
        &[0xff, 0xff, 0xff, 0x9c],
    ];
    assert_eq!(writer.finish(), expected.concat());
}

#[test]
fn what_breaks_off_is_malformed() {
    let mut writer = Writer::default();
    writer.message(1, 0, 1, |writer| writer.text(3, "abc"));
    let bytes = writer.finish();
    assert_eq!(messages(&bytes).unwrap().len(), 1);
    for length in 1..bytes.len() {
        assert_eq!(messages(&bytes[..length]), Err(Malformed), "{length} bytes");
    }
    let attribute = &bytes[HEADER_BYTES..];
    for length in 1..attribute.len() {
        assert_eq!(attributes(&attribute[..length]), Err(Malformed), "{length} bytes");
    }
}

#[test]
fn a_length_of_nothing_is_malformed_and_does_not_loop() {
    assert_eq!(messages(&[0; 32]), Err(Malformed));
    assert_eq!(attributes(&[0; 8]), Err(Malformed));
}

#[test]
fn errors_are_positive_numbers() {
    assert_eq!(error_number(&(-1_i32).to_ne_bytes()), Ok(1));
    assert_eq!(error_number(&0_i32.to_ne_bytes()), Ok(0));
    assert_eq!(error_number(&i32::MIN.to_ne_bytes()), Ok(i32::MAX));
    assert_eq!(error_number(&[0; 3]), Err(Malformed));
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        written in prop::collection::vec(
            (any::<u16>(), any::<u16>(), any::<u32>(), prop::collection::vec(
                (0..=KIND_MASK, prop::collection::vec(any::<u8>(), 0..9)), 0..4)),
            0..4,
        ),
    ) {
        let mut writer = Writer::default();
        for (kind, flags, sequence, values) in &written {
            writer.message(*kind, *flags, *sequence, |writer| {
                for (kind, value) in values {
                    writer.attribute(*kind, value);
                }
            });
        }
        let bytes = writer.finish();
        let read = messages(&bytes).unwrap();
        prop_assert_eq!(read.len(), written.len());
        for (message, (kind, flags, sequence, values)) in read.iter().zip(&written) {
            prop_assert_eq!((message.kind, message.flags, message.sequence), (*kind, *flags, *sequence));
            let values: Vec<(u16, &[u8])> = values.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
            prop_assert_eq!(attributes(message.body).unwrap(), values);
        }
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = (messages(&bytes), attributes(&bytes), find_text(&bytes, 1), find_number(&bytes, 1));
    }
}
