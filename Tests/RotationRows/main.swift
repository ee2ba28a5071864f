// rotation-rows seed DATA KEYS COUNT | grants DATA KEYS SERVICE CLIENT ORIGIN LIFE | check DATA KEYS:
// fills the databases of a system with managed connections, by API key or with the grants that come
// in, sealed as auth seals them, and tells afterwards how many of all managed connections open: data
// key by master key, token by data key. For the tests of key rotation.

import Glibc

exit(await RotationRows.run(Array(CommandLine.arguments.dropFirst())))
