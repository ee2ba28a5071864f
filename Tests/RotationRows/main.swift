// rotation-rows seed DATA KEYS COUNT | check DATA KEYS: fills the databases of a system with managed
// connections, sealed as auth seals them, and tells afterwards how many of all managed connections
// open: data key by master key, token by data key. For the tests of key rotation; prints one line.

import Glibc

exit(await RotationRows.run(Array(CommandLine.arguments.dropFirst())))
