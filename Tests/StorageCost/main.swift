// Prints what sealing and storing cost on this machine: nanoseconds for the edge's lookup, unwrap
// and open; microseconds for its point reads; commits a second, and what a checkpoint takes from
// them. Build it for release: `swift run -c release storage-cost FOLDER`.

import Glibc

guard CommandLine.arguments.count == 2 else {
  puts("usage: storage-cost FOLDER (an existing one, on the disk to measure)")
  exit(64)
}
exit(StorageCost.measure(in: CommandLine.arguments[1]))
