//! Builds in a namespace what a scenario describes: every link is one end of a virtual cable, so that it has a carrier.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use futures::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute};
use rtnetlink::packet_route::route::{RouteAttribute, RouteScope};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute};
use rtnetlink::packet_route::{AddressFamily, route::RouteMessage};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::super::host::{Address, Errno, Link, Mac, Route};
use super::super::wiring::Wiring;
use super::namespace::{IPV4_SETTINGS, Inside, Namespace};
use super::read::refused;

impl Namespace {
    /// Asks the kernel, and gives its answer as an error of the system.
    fn make<T, F>(&self, work: impl FnOnce(Rc<Inside>) -> F + Send + 'static) -> io::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, rtnetlink::Error>> + 'static,
    {
        self.ask(work)?.map_err(refused)
    }
}

impl Wiring for &Namespace {
    fn add_link(&mut self, name: &str, mac: Mac, mtu: u32) -> io::Result<u32> {
        let name = name.to_owned();
        let found = self.make(move |inside| async move {
            let far = LinkUnspec::new_with_name(&name).setns_by_fd(inside.far.namespace.as_raw_fd()).build();
            let link = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
                .set_info_data(InfoData::Veth(InfoVeth::Peer(far)))
                .name(&name)
                .address(mac.to_vec())
                .mtu(mtu)
                .build();
            inside.netlink.link().add(link).execute().await?;
            // It cannot be made up, since it is there before the near one.
            let up = LinkUnspec::new_with_name(&name).up().build();
            inside.far.netlink.link().change(up).execute().await?;
            inside.netlink.link().get().match_name(name).execute().try_next().await
        })?;
        found.map(|link| link.header.index).ok_or_else(|| Errno::NoDevice.into())
    }

    fn set_up(&mut self, link: u32) -> io::Result<()> {
        self.make(move |inside| async move {
            inside.netlink.link().change(LinkUnspec::new_with_index(link).up().build()).execute().await
        })
    }

    fn add_address(&mut self, link: u32, address: Address) -> io::Result<()> {
        self.make(move |inside| async move {
            inside.netlink.address().add(link, address.ip, address.prefix).execute().await
        })
    }

    fn replace_route(&mut self, route: Route) -> io::Result<()> {
        let message = message(&route);
        self.make(move |inside| async move { inside.netlink.route().add(message).replace().execute().await })
    }

    fn add_rule(&mut self, from: IpNet, table: u32, priority: Option<u32>) -> io::Result<()> {
        self.make(move |inside| async move {
            let mut request = inside.netlink.rule().add();
            let message = request.message_mut();
            message.header.family = if from.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
            message.header.src_len = from.prefix_len();
            message.header.action = RuleAction::ToTable;
            message.attributes = vec![RuleAttribute::Source(from.addr()), RuleAttribute::Table(table)];
            message.attributes.extend(priority.map(RuleAttribute::Priority));
            request.execute().await
        })
    }

    fn set_setting(&mut self, link: u32, key: &str, value: &str) -> io::Result<()> {
        // Only what is known, so that no name leads to another file.
        if Link::booted_settings().all(|(known, _)| known != key) {
            return Err(Errno::NoEntry.into());
        }
        let (key, value) = (key.to_owned(), value.to_owned());
        let written = self.ask(move |inside| async move {
            let found = inside.netlink.link().get().match_index(link).execute().try_next().await.map_err(refused)?;
            let name = found.and_then(|link| {
                link.attributes.into_iter().find_map(|attribute| match attribute {
                    LinkAttribute::IfName(name) => Some(name),
                    _ => None,
                })
            });
            let name = name.ok_or(Errno::NoDevice)?;
            fs::write(format!("{IPV4_SETTINGS}/{name}/{key}"), value)
        });
        written?
    }
}

fn message(route: &Route) -> RouteMessage {
    let (net, prefix) = (route.to.addr(), route.to.prefix_len());
    let mut message = match net {
        IpAddr::V4(net) => RouteMessageBuilder::<std::net::Ipv4Addr>::new().destination_prefix(net, prefix).build(),
        IpAddr::V6(net) => RouteMessageBuilder::<std::net::Ipv6Addr>::new().destination_prefix(net, prefix).build(),
    };
    if route.via.is_none() && net.is_ipv4() {
        message.header.scope = RouteScope::Link;
    }
    let link_and_table = [RouteAttribute::Oif(route.link), RouteAttribute::Table(route.table)];
    message.attributes.extend(link_and_table);
    message.attributes.extend((route.metric != 0).then_some(RouteAttribute::Priority(route.metric)));
    message.attributes.extend(route.via.map(|via| RouteAttribute::Gateway(via.into())));
    message.attributes.extend(route.source.map(|source| RouteAttribute::PrefSource(source.into())));
    message
}
