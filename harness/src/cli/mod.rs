//! The command line: arguments, settings, commands, exit codes; the printer is the only one that prints.
