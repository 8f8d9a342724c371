use super::*;

fn found(groups: &str, mounts: &str) -> Option<(Version, String)> {
    let group = Group::of_memory(groups, mounts)?;
    Some((group.version, group.folder.display().to_string()))
}

#[test]
fn the_group_of_memory_is_found_in_each_way_that_containers_show_it() {
    let one = "5:devices:/x\n4:cpu,memory:/kubepods/pod1/c1\n0::/other\n";
    let two = "0::/\n";
    let own_root = "31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs rw\n\
        30 31 0:31 /kubepods/pod1/c1 /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n\
        35 31 0:32 /kubepods/pod1/c1 /sys/fs/cgroup/memory ro,nosuid master:11 - cgroup cgroup rw,cpu,memory\n";
    let machine = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    let elsewhere = "35 31 0:32 /somewhere/else /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    let unified = "41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";
    for (groups, mounts, expected) in [
        // Without a namespace for groups, as in most containers of version 1: the mount shows the group as its root.
        (one, own_root, Some((Version::One, "/sys/fs/cgroup/memory/"))),
        // Beside the machine's own processes.
        (one, machine, Some((Version::One, "/sys/fs/cgroup/memory/kubepods/pod1/c1"))),
        (one, elsewhere, Some((Version::One, "/sys/fs/cgroup/memory/"))),
        // With one, as in containers of version 2.
        (two, unified, Some((Version::Two, "/sys/fs/cgroup/"))),
        (
            "0::/system.slice/weft.service\n",
            unified,
            Some((Version::Two, "/sys/fs/cgroup/system.slice/weft.service")),
        ),
        // Nothing is mounted, or nothing accounts for memory.
        (one, unified, None),
        (two, machine, None),
        ("5:devices:/x\n", machine, None),
        ("", "", None),
        ("garbage", "garbage - garbage\n1 2 3 - cgroup2\n", None),
    ] {
        let expected = expected.map(|(version, folder)| (version, folder.to_owned()));
        assert_eq!(found(groups, mounts), expected, "{groups}{mounts}");
    }
}

#[test]
fn a_limit_that_nobody_set_is_none() {
    for (version, text, bound) in [
        (Version::One, "67108864\n", Some(64 << 20)),
        (Version::One, "9223372036854771712\n", None),
        (Version::Two, "67108864\n", Some(64 << 20)),
        (Version::Two, "max\n", None),
        (Version::Two, "", None),
    ] {
        assert_eq!(version.bound(text), bound, "{version:?} {text}");
    }
}
