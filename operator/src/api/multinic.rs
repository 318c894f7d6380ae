//! `multinic.io/v1alpha1 MultiNicNodeConfig`: the interfaces of one node.
