// Gives the pages of code back that only the start needed. They are clean pages of files: the kernel
// drops them and reads again what is used. A service that has started runs in a few hundred kilobytes
// of its code; without this it would keep the megabytes that reading settings took.

import CLinux
import Glibc

enum CodePages {
  /// Drops the resident pages of all read-only code of this process.
  static func release() {
    _ = dl_iterate_phdr(
      { object, _, _ in
        guard let object = object?.pointee, let headers = object.headers else { return 0 }
        for index in 0..<Int(object.header_count) {
          let header = headers[index]
          let isCode =
            header.p_type == PT_LOAD && header.p_flags & UInt32(PF_X) != 0
            && header.p_flags & UInt32(PF_W) == 0
          guard isCode else { continue }
          let page = UInt(getpagesize())
          let start = (UInt(object.address) + UInt(header.p_vaddr)) & ~(page - 1)
          let end = UInt(object.address) + UInt(header.p_vaddr) + UInt(header.p_memsz)
          madvise(UnsafeMutableRawPointer(bitPattern: start), Int(end - start), MADV_DONTNEED)
        }
        return 0
      }, nil)
  }
}
