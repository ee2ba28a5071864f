// Which passwords an account may be opened with, and which texts are tried as one. Length counts,
// composition does not (NIST SP 800-63B); control characters are refused because no keyboard
// types them.

import Bytes

/// The rules of passwords.
enum PasswordRules {
  /// Unicode scalars.
  static let scalarsMin = 12
  static let bytesMax = 1024

  /// The password as a secret, when an account may be opened with it.
  static func admitNew(_ text: String) -> Secret? {
    text.unicodeScalars.count >= scalarsMin ? admitTried(text) : nil
  }

  /// The password as a secret, when it may be tried at all.
  static func admitTried(_ text: String) -> Secret? {
    var bytes = Array(text.utf8)
    guard !bytes.isEmpty, bytes.count <= bytesMax,
      bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7f })
    else { return nil }
    return Secret(wiping: &bytes)
  }
}
