// The readings that take more than one setting together: the catalogue and the clients it calls
// for, a default that is itself a declared value, listeners that must not collide.

import HTTPCodec
import Posix
import Providers

extension SettingsReader {
  /// The operator's file of services, or nil.
  func catalogueFile() throws(ConfigurationError) -> CatalogueFile? {
    try readableFile(.providersFile).map { CatalogueFile(path: $0) }
  }

  /// Our clients at the services with `static` registration, as far as they are set.
  func oauthClients(
    _ catalogue: Catalogue
  ) throws(ConfigurationError) -> [String: OAuthClient] {
    precondition(program == .auth || program == .scheduler, "\(program) may not read them")
    var clients: [String: OAuthClient] = [:]
    for provider in catalogue.providers where provider.oauth?.registration == .static {
      let idName = provider.clientIDSetting
      let secretName = provider.clientSecretSetting
      let id = environment[idName]
      let secret = try heldSecret(named: secretName)
      guard let id else {
        if secret != nil { throw ConfigurationError(idName, "must be set with \(secretName)") }
        continue
      }
      guard let id = ValueParser.text(id, bytesMax: 512) else {
        throw ConfigurationError(idName, "must be one line of at most 512 bytes")
      }
      if secret == nil
        && provider.oauth?.clientAuthentication != OAuthRules.ClientAuthentication.none
      {
        throw ConfigurationError(secretName, "must be set with \(idName)")
      }
      let held = try secret.map { secret throws(ConfigurationError) in
        try admitted(secretName, secret)
      }
      clients[provider.id] = OAuthClient(id: id, secret: held)
    }
    return clients
  }

  /// What is set of our clients at the services with `static` registration, without reading it.
  func oauthClientPresence(_ catalogue: Catalogue) -> [String: OAuthClientPresence] {
    let names = Set(environment.names)
    let clients = catalogue.providers.filter { $0.oauth?.registration == .static }.map { provider in
      let secret = provider.clientSecretSetting
      return (
        provider.id,
        OAuthClientPresence(
          hasID: names.contains(provider.clientIDSetting),
          hasSecret: names.contains(secret) || names.contains(secret + "_FILE"))
      )
    }
    return Dictionary(uniqueKeysWithValues: clients)
  }

  /// A single origin that tokens may go to.
  func secureOrigin(_ setting: Setting) throws(ConfigurationError) -> WebURL? {
    guard let url = try secureURL(setting) else { return nil }
    guard url.isOrigin else {
      throw ConfigurationError(setting, "must be an origin: https://host[:port], without a path")
    }
    return url
  }

  /// The URL of a setting whose declared default is a URL.
  func secureURLOrStandard(_ setting: Setting) throws(ConfigurationError) -> WebURL {
    if let url = try secureURL(setting) { return url }
    guard let standard = setting.standard, let url = WebURL("\(standard)") else {
      preconditionFailure("\(setting.name) has no URL as its default")
    }
    return url
  }

  /// The ops listener, which must not be where the service listens.
  func opsListener(
    _ setting: Setting, beside main: ListenSetting, _ mainSetting: Setting
  ) throws(ConfigurationError) -> ListenSetting {
    let ops = try listener(setting)
    if case .address(.ip(_, let port)) = ops, port != 0, ops == main {
      throw ConfigurationError(setting, "is the same address as \(mainSetting.name)")
    }
    return ops
  }
}
