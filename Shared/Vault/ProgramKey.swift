// The keys that people give to programs: `userk_` and `spacek_` before 86 base64url characters. What
// is stored of one is SHA-256 of its whole text; it opens nothing by itself. Its 64 bytes are used as
// a credential's are where the edge keeps a data key for it in memory.

import Bytes

/// Whom a program's key stands for.
public enum ProgramKeyKind: Sendable, CaseIterable {
  /// A person.
  case user
  /// A space of a person's connections.
  case space

  /// What keys of this kind begin with.
  public var prefix: StaticString {
    switch self {
    case .user: "userk_"
    case .space: "spacek_"
    }
  }

  /// The kind of a key by what `text` begins with; nil for no such key.
  public init?(of text: UnsafeRawBufferPointer) {
    guard let kind = Self.allCases.first(where: { text.starts(with: $0.prefixBytes) }) else {
      return nil
    }
    self = kind
  }

  fileprivate var prefixBytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount)
  }
}

extension CredentialSecret {
  /// The 64 bytes that `text` spells behind the prefix of `kind`, exactly; or nil.
  public init?(
    key text: UnsafeRawBufferPointer, of kind: ProgramKeyKind, hashing: HashContext
  ) {
    guard text.starts(with: kind.prefixBytes) else { return nil }
    self.init(
      text: UnsafeRawBufferPointer(rebasing: text[kind.prefixBytes.count...]), hashing: hashing)
  }

  /// The program's key, for the one answer that shows it.
  public borrowing func makeKey(_ kind: ProgramKeyKind) -> String {
    "\(kind.prefix)\(makeText())"
  }
}

/// A program's key as it was shown: its kind, and the hash that finds it.
public struct PresentedKey: Sendable, Hashable {
  public let kind: ProgramKeyKind
  /// SHA-256 of the whole text.
  public let hash: Digest256

  /// The key that `text` spells exactly, or nil.
  public init?(_ text: UnsafeRawBufferPointer, hashing: HashContext) {
    guard let kind = ProgramKeyKind(of: text),
      CredentialSecret(key: text, of: kind, hashing: hashing) != nil
    else { return nil }
    self.kind = kind
    hash = hashing.sha256(text)
  }

  /// The same for text.
  public init?(_ text: String) {
    var text = text
    guard let key = text.withUTF8({ PresentedKey(.init($0), hashing: HashContext()) }) else {
      return nil
    }
    self = key
  }
}
