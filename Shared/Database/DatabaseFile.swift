// Says where a database lies and checks, before SQLite touches it, that the file is one that may
// be opened: present, not empty, one name, a local file system. It never opens the file itself:
// closing it again would drop the locks that SQLite holds on it for the whole process.

import CLinux
import Glibc

/// One of the two databases in a data folder.
public struct DatabaseFile: Hashable, Sendable {
  /// Which database it is.
  public enum Kind: String, CaseIterable, Sendable {
    /// Accounts, connections, credentials, activity.
    case bindery
    /// Sealed token blobs.
    case tokens

    /// What the file's header says it belongs to (`PRAGMA application_id`): "BNDY", "BNDT".
    var applicationID: UInt32 {
      switch self {
      case .bindery: 0x424e_4459
      case .tokens: 0x424e_4454
      }
    }

    /// The page size. In a page that SQLite rebuilds, deleted cells can survive in the unused middle
    /// even with secure_delete; freed overflow pages never do. With 512 bytes, all but the first 39
    /// bytes of a token row, hence every byte of its sealed blob, lie on overflow pages.
    var pageBytes: Int64 {
      switch self {
      case .bindery: 4096
      case .tokens: 512
      }
    }

    /// Writes the header as it is.
    var sameHeader: StaticString {
      switch self {
      case .bindery: "PRAGMA application_id = 0x424e4459"
      case .tokens: "PRAGMA application_id = 0x424e4454"
      }
    }
  }

  public let kind: Kind
  /// The folder that holds it.
  public let directory: String

  /// The database `kind` in `directory`.
  public init(_ kind: Kind, in directory: String) {
    self.kind = kind
    self.directory = directory
  }

  /// Where the main file lies.
  public var path: String { "\(directory)/\(kind.rawValue).sqlite" }
  /// Where the write-ahead log lies.
  public var logPath: String { path + "-wal" }

  /// The length of the write-ahead log in bytes, 0 when there is none.
  public var logBytes: Int {
    var facts = stat()
    return lstat(logPath, &facts) == 0 ? Int(facts.st_size) : 0
  }

  /// Checks the folder's file system and the file's nature.
  func admit() throws(DatabaseError) {
    try Self.admit(directory: directory)
    var facts = stat()
    guard lstat(path, &facts) == 0 else {
      throw .refused(errno == ENOENT ? .missing : .inaccessible(errno: errno))
    }
    guard facts.st_mode & S_IFMT == S_IFREG else { throw .refused(.notARegularFile) }
    guard facts.st_nlink == 1 else { throw .refused(.hardLinked) }
    guard facts.st_size > 0 else { throw .refused(.empty) }
  }

  /// Checks that a folder is on a file system with coherent locks and shared memory.
  static func admit(directory: String) throws(DatabaseError) {
    var facts = statfs()
    guard statfs(directory, &facts) == 0 else {
      throw .refused(errno == ENOENT ? .missing : .inaccessible(errno: errno))
    }
    let magic = UInt32(truncatingIfNeeded: facts.f_type)
    guard !isNetworkFileSystem(magic) else { throw .refused(.networkFileSystem(magic: magic)) }
  }

  /// Whether statfs(2) names a file system that other machines share, or one behind a user process.
  static func isNetworkFileSystem(_ magic: UInt32) -> Bool {
    networkFileSystems.contains(magic)
  }

  private static let networkFileSystems: Set<UInt32> = [
    0x6969,  // NFS
    0x517b, 0xff53_4d42, 0xfe53_4d42,  // SMB, CIFS, SMB2
    0x0102_1997,  // 9p
    0x6573_5546,  // FUSE and virtiofs
    0x00c3_6400,  // Ceph
    0x5346_414f, 0x6b41_4653, 0x7375_7245, 0x564c,  // AFS twice, Coda, NCP
    0x4750_4653, 0x0bd0_0bd0, 0x7461_636f, 0x0116_1970,  // GPFS, Lustre, OCFS2, GFS2
    0x786f_4256, 0xbacb_acbc,  // shared folders of virtual machines
  ]
}
