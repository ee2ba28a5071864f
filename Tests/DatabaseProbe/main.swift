// A process to run and to fault: FAULT (kill:N, full:N, fail:N, none) kills it, or lets it meet a
// full or a failing disk, at its Nth change of a file.
//   database-probe migrate FOLDER FAULT
//   database-probe write FOLDER FAULT WORKER COUNT   prints each number once it is committed
//   database-probe copy FOLDER FAULT WORKER COUNT    the same beside a checkpointer
//   database-probe share FOLDER FAULT WORKER COUNT   like write, eight at once in shared transactions
//   database-probe open FOLDER none                  as nobody, when started by root

import Database
import Glibc

let arguments = CommandLine.arguments
guard arguments.count >= 4, let fault = FileFault(arguments[3]) else { exit(64) }
fault.install()
switch arguments[1] {
case "migrate": exit(Probe.migrate(arguments[2]))
case "write" where arguments.count == 6:
  exit(Probe.write(arguments[2], worker: arguments[4], count: Int(arguments[5]) ?? 0))
case "copy" where arguments.count == 6:
  exit(
    Probe.copy(arguments[2], worker: arguments[4], count: Int(arguments[5]) ?? 0))
case "share" where arguments.count == 6:
  exit(await Probe.share(arguments[2], worker: arguments[4], count: Int(arguments[5]) ?? 0))
case "open": exit(Probe.openAsNobody(arguments[2]))
default: exit(64)
}
