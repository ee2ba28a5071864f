// The operator's tool. What it can do is the table in Commands.swift, one file per command;
// what a command is given and may answer is in Command.swift.

import Glibc

exit(Commands.run(Array(CommandLine.arguments.dropFirst())))
