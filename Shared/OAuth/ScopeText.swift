// Which scopes do we ask for? The catalogue's, else those that the server asked for, else all that it
// lists (MCP authorization, scope selection). What a stranger lists is taken word by word.

/// Scopes as strangers write them.
enum ScopeText {
  /// The most scopes that are taken.
  static let countMax = 100

  /// The scopes in `text`, which stand apart by one blank (RFC 6749 section 3.3).
  static func scopes(of text: String) -> [String] {
    usable(text.split(separator: " ").map(String.init))
  }

  /// Those of `scopes` that are scopes, each once.
  static func usable(_ scopes: [String]) -> [String] {
    var result: [String] = []
    for scope in scopes where isScope(scope) && result.count < countMax {
      if !result.contains(where: { $0.utf8.elementsEqual(scope.utf8) }) { result.append(scope) }
    }
    return result
  }

  /// The scopes to ask for. `offline_access` is asked for only where the catalogue says so: to list
  /// it is no wish of the server, and at some it changes what the person is asked.
  static func choice(
    catalogue: [String], challenged: [String], listed: [String]
  ) -> [String] {
    if !catalogue.isEmpty { return catalogue }
    return (challenged.isEmpty ? listed : challenged).filter {
      !$0.utf8.elementsEqual("offline_access".utf8)
    }
  }

  private static func isScope(_ text: String) -> Bool {
    (1...256).contains(text.utf8.count)
      && text.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c }
  }
}
