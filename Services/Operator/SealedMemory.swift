// A secret on its way to a child: a file in memory that cannot be changed, has no name, and is
// reached only through a descriptor that the child inherits. The child opens /proc/self/fd/<n>,
// reads, and closes it; its environment and its command line never hold the secret.

import CLinux
import Configuration
import Glibc
import Posix

/// An unnamed, unchangeable file in memory.
final class SealedMemory {
  private let descriptor: Descriptor

  /// The number of the descriptor, as long as this lives.
  var number: Int32 { descriptor.number }

  private init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

  /// A file that holds `secret`.
  static func holding(_ secret: SecretSetting) throws(Errno) -> SealedMemory {
    let number = bindery_memory_file("setting")
    guard number >= 0 else { throw .last }
    let memory = SealedMemory(Descriptor(owning: number))
    let written = secret.withBytes { write(number, $0.baseAddress, $0.count) }
    guard written == secret.count, bindery_seal_memory_file(number) == 0 else { throw .last }
    return memory
  }
}
