//! The optional listener: HTTP or HTTPS, and the kubeconfig that leads to it.
