//! The contract between the `MultiNIC` controller and the agent it runs as a Job: what the agent is told in its
//! environment, and what it says in its termination message. Both sides use these types, so they cannot drift apart.
