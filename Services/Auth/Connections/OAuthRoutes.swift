// The routes of connecting by OAuth, put together: they share our client, the cookie that binds a
// state to its browser, and the pages that people come back to.

import Accounts
import OAuth

/// Authorize, callback, claim, and the document about us.
struct OAuthRoutes: Sendable {
  let authorize: AuthorizeRoute
  let callback: CallbackRoute
  let claim: ClaimRoute
  let document: ClientDocument

  init(_ parts: AuthAPI.Parts, urls: SecretURLs, farewell: Farewell) {
    let common = parts.settings.common
    let cookie = CookieField.connect(publicURL: common.publicURL)
    document = ClientDocument(publicURL: common.publicURL)
    let clients = OAuthClients(
      registrations: parts.accounts, fetch: parts.fetch, keys: parts.keys,
      configured: parts.settings.oauthClients, document: document, log: parts.log)
    authorize = AuthorizeRoute(
      catalogue: parts.catalogue, connections: parts.accounts, authorizations: parts.accounts,
      plans: parts.accounts,
      discovery: DiscoveryCache(Discovery(fetch: parts.fetch)), clients: clients,
      keys: parts.keys, cookie: cookie, pages: DashboardPages(admin: common.adminURLs),
      log: parts.log)
    let finish = FinishAuthorization(
      connections: parts.accounts, tokens: parts.tokens, keys: parts.keys, clients: clients,
      fetch: parts.fetch, urls: urls, epochs: parts.epochs, farewell: farewell)
    callback = CallbackRoute(
      catalogue: parts.catalogue, authorizations: parts.accounts, finish: finish, cookie: cookie,
      log: parts.log)
    claim = ClaimRoute(authorizations: parts.accounts)
  }
}
