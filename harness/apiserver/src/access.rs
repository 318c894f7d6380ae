//! Who asks, and what they may do: authentication, RBAC, impersonation, access reviews.
