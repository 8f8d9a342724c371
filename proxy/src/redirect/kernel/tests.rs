use super::*;

#[test]
fn errors_say_what_to_do() {
    for (number, named) in [
        (EPERM, "capabilities: {add: [NET_ADMIN]}"),
        (EPERM, "CNI mode"),
        (ENOENT, "cannot do chain output"),
        (ENOENT, "modprobe"),
        (EOPNOTSUPP, "Linux 5.2"),
        // EBUSY
        (16, "refused chain output"),
    ] {
        let error = told("chain output", io::Error::from_raw_os_error(number)).to_string();
        assert!(error.contains(named), "{number}: {error}");
    }
}
