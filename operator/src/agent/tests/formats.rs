//! What is written, to the letter.

use super::*;

/// A file after an apply.
async fn written(os: OsKind, edit: impl FnOnce(&mut AgentSpec), path: &str) -> String {
    let host = node();
    let mut spec = sample(os);
    edit(&mut spec);
    let outcome = apply(&host, &spec).await;
    assert_eq!(outcome.exit, AgentExit::Done, "{}", outcome.message);
    let state = host.state();
    let (_, content) = state.files.iter().find(|(file, _)| file.path() == path).unwrap();
    String::from_utf8(content.bytes.clone()).unwrap()
}

fn ipv6(spec: &mut AgentSpec) {
    spec.interfaces[0].address = "fd00:11::33".parse().ok();
    spec.interfaces[0].cidr = "fd00:11::99/64".parse().ok();
}

fn bare(spec: &mut AgentSpec) {
    (spec.interfaces[0].address, spec.interfaces[0].cidr) = (None, None);
}

#[tokio::test]
async fn netplan() {
    insta::assert_snapshot!(written(OsKind::Netplan, |_| {}, "/etc/netplan/91-multinic1.yaml").await, @r##"
    # Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.
    # multinic-agent: {"mac":"fa:16:3e:f3:b0:3f","found":{"name":"ens4","up":false,"mtu":1500,"sysctls":{"rp_filter":"1","arp_ignore":"0","arp_announce":"0"}},"applied":{"address":"11.11.11.33/24","table":101}}
    network:
      version: 2
      ethernets:
        multinic1:
          match:
            macaddress: "fa:16:3e:f3:b0:3f"
          set-name: multinic1
          dhcp4: false
          addresses:
            - "11.11.11.33/24"
          mtu: 1450
          routes:
            - to: "11.11.11.0/24"
              table: 101
              metric: 101
              scope: link
          routing-policy:
            - from: "11.11.11.33/32"
              table: 101
              priority: 10101
    "##);
    insta::assert_snapshot!(written(OsKind::Netplan, ipv6, "/etc/netplan/91-multinic1.yaml").await, @r##"
    # Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.
    # multinic-agent: {"mac":"fa:16:3e:f3:b0:3f","found":{"name":"ens4","up":false,"mtu":1500,"sysctls":{"rp_filter":"1","arp_ignore":"0","arp_announce":"0"}},"applied":{"address":"fd00:11::33/64","table":101}}
    network:
      version: 2
      ethernets:
        multinic1:
          match:
            macaddress: "fa:16:3e:f3:b0:3f"
          set-name: multinic1
          dhcp4: false
          addresses:
            - "fd00:11::33/64"
          mtu: 1450
          routes:
            - to: "fd00:11::/64"
              table: 101
              metric: 101
              scope: link
          routing-policy:
            - from: "fd00:11::33/128"
              table: 101
              priority: 10101
    "##);
    insta::assert_snapshot!(written(OsKind::Netplan, bare, "/etc/netplan/91-multinic1.yaml").await, @r##"
    # Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.
    # multinic-agent: {"mac":"fa:16:3e:f3:b0:3f","found":{"name":"ens4","up":false,"mtu":1500,"sysctls":{"rp_filter":"1","arp_ignore":"0","arp_announce":"0"}}}
    network:
      version: 2
      ethernets:
        multinic1:
          match:
            macaddress: "fa:16:3e:f3:b0:3f"
          set-name: multinic1
          dhcp4: false
          mtu: 1450
    "##);
}

#[tokio::test]
async fn ifcfg() {
    let dir = "/etc/sysconfig/network-scripts";
    insta::assert_snapshot!(written(OsKind::Ifcfg, |_| {}, &format!("{dir}/ifcfg-multinic1")).await, @r##"
    # Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.
    # multinic-agent: {"mac":"fa:16:3e:f3:b0:3f","found":{"name":"ens4","up":false,"mtu":1500,"sysctls":{"rp_filter":"1","arp_ignore":"0","arp_announce":"0"}},"applied":{"address":"11.11.11.33/24","table":101}}
    DEVICE=multinic1
    NAME=multinic1
    TYPE=Ethernet
    ONBOOT=yes
    BOOTPROTO=none
    IPADDR=11.11.11.33
    PREFIX=24
    MTU=1450
    HWADDR=fa:16:3e:f3:b0:3f
    "##);
    insta::assert_snapshot!(written(OsKind::Ifcfg, |_| {}, &format!("{dir}/route-multinic1")).await, @r##"
    # Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.
    11.11.11.0/24 dev multinic1 src 11.11.11.33 table 101 metric 101
    "##);
    insta::assert_snapshot!(written(OsKind::Ifcfg, |_| {}, &format!("{dir}/rule-multinic1")).await, @r##"
    # Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.
    from 11.11.11.33/32 table 101 priority 10101
    "##);
    insta::assert_snapshot!(written(OsKind::Ifcfg, ipv6, &format!("{dir}/ifcfg-multinic1")).await, @r##"
    # Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.
    # multinic-agent: {"mac":"fa:16:3e:f3:b0:3f","found":{"name":"ens4","up":false,"mtu":1500,"sysctls":{"rp_filter":"1","arp_ignore":"0","arp_announce":"0"}},"applied":{"address":"fd00:11::33/64","table":101}}
    DEVICE=multinic1
    NAME=multinic1
    TYPE=Ethernet
    ONBOOT=yes
    BOOTPROTO=none
    IPV6INIT=yes
    IPV6_AUTOCONF=no
    IPV6ADDR=fd00:11::33/64
    MTU=1450
    HWADDR=fa:16:3e:f3:b0:3f
    "##);
    insta::assert_snapshot!(written(OsKind::Ifcfg, ipv6, &format!("{dir}/route6-multinic1")).await, @r##"
    # Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.
    fd00:11::/64 dev multinic1 table 101 metric 101
    "##);
    insta::assert_snapshot!(written(OsKind::Ifcfg, ipv6, &format!("{dir}/rule6-multinic1")).await, @r##"
    # Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.
    from fd00:11::33/128 table 101 priority 10101
    "##);
    insta::assert_snapshot!(written(OsKind::Ifcfg, bare, &format!("{dir}/ifcfg-multinic1")).await, @r##"
    # Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.
    # multinic-agent: {"mac":"fa:16:3e:f3:b0:3f","found":{"name":"ens4","up":false,"mtu":1500,"sysctls":{"rp_filter":"1","arp_ignore":"0","arp_announce":"0"}}}
    DEVICE=multinic1
    NAME=multinic1
    TYPE=Ethernet
    ONBOOT=yes
    BOOTPROTO=none
    MTU=1450
    HWADDR=fa:16:3e:f3:b0:3f
    "##);
}

#[tokio::test]
async fn network_manager() {
    let keyfile = "/etc/NetworkManager/system-connections/91-multinic1.nmconnection";
    let link = "/etc/systemd/network/91-multinic1.link";
    insta::assert_snapshot!(written(OsKind::NetworkManager, |_| {}, keyfile).await, @r##"
    # Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.
    [connection]
    id=multinic1
    type=ethernet
    interface-name=multinic1
    autoconnect=true

    [ethernet]
    mac-address=fa:16:3e:f3:b0:3f
    mtu=1450

    [ipv4]
    method=manual
    address1=11.11.11.33/24
    route-table=101
    route1=11.11.11.0/24,,101
    routing-rule1=priority 10101 from 11.11.11.33/32 table 101
    never-default=true

    [ipv6]
    method=ignore
    "##);
    insta::assert_snapshot!(written(OsKind::NetworkManager, |_| {}, link).await, @r##"
    # Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.
    # multinic-agent: {"mac":"fa:16:3e:f3:b0:3f","found":{"name":"ens4","up":false,"mtu":1500,"sysctls":{"rp_filter":"1","arp_ignore":"0","arp_announce":"0"}},"applied":{"address":"11.11.11.33/24","table":101}}
    [Match]
    MACAddress=fa:16:3e:f3:b0:3f

    [Link]
    Name=multinic1
    "##);
    insta::assert_snapshot!(written(OsKind::NetworkManager, ipv6, keyfile).await, @r##"
    # Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.
    [connection]
    id=multinic1
    type=ethernet
    interface-name=multinic1
    autoconnect=true

    [ethernet]
    mac-address=fa:16:3e:f3:b0:3f
    mtu=1450

    [ipv4]
    method=disabled

    [ipv6]
    method=manual
    address1=fd00:11::33/64
    route-table=101
    route1=fd00:11::/64,,101
    routing-rule1=priority 10101 from fd00:11::33/128 table 101
    never-default=true
    "##);
    insta::assert_snapshot!(written(OsKind::NetworkManager, bare, keyfile).await, @r##"
    # Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.
    [connection]
    id=multinic1
    type=ethernet
    interface-name=multinic1
    autoconnect=true

    [ethernet]
    mac-address=fa:16:3e:f3:b0:3f
    mtu=1450

    [ipv4]
    method=disabled

    [ipv6]
    method=ignore
    "##);
}

#[tokio::test]
async fn without_policy_routing_no_table_is_written() {
    let without = |spec: &mut AgentSpec| spec.settings.policy_routing = false;
    for (os, path) in [
        (OsKind::Netplan, "/etc/netplan/91-multinic1.yaml"),
        (OsKind::Ifcfg, "/etc/sysconfig/network-scripts/ifcfg-multinic1"),
        (OsKind::NetworkManager, "/etc/NetworkManager/system-connections/91-multinic1.nmconnection"),
    ] {
        let text = written(os, without, path).await;
        assert!(text.contains("11.11.11.33"));
        assert!(!text.contains("table") && !text.contains("rule"), "{text}");
    }
}
