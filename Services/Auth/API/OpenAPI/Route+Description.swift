// Which description belongs to which route. The descriptions themselves stand in files by subject.
// A case that is missing here does not compile.

extension Route {
  /// What it takes and answers.
  var description: RouteDescription {
    switch self {
    case .register: .register
    case .login: .login
    case .clerkSession: .clerkSession
    case .logout: .logout
    case .token: .token
    case .me: .me
    case .services: .services
    case .connectWithAPIKey: .connectWithAPIKey
    case .authorize: .authorize
    case .callback: .callback
    case .claim: .claim
    case .listConnections: .listConnections
    case .readConnection: .readConnection
    case .changeConnection: .changeConnection
    case .revokeConnection: .revokeConnection
    case .changeMode: .changeMode
    case .listCredentials: .listCredentials
    case .addCredential: .addCredential
    case .revokeCredential: .revokeCredential
    case .activity: .activity
    case .listKeys: .listKeys
    case .addKey: .addKey
    case .revokeKey: .revokeKey
    case .revokeNamedKey: .revokeNamedKey
    case .listSpaces: .listSpaces
    case .addSpace: .addSpace
    case .readSpace: .readSpace
    case .changeSpace: .changeSpace
    case .removeSpace: .removeSpace
    case .listSpaceKeys: .listSpaceKeys
    case .addSpaceKey: .addSpaceKey
    case .revokeSpaceKey: .revokeSpaceKey
    case .revokeNamedSpaceKey: .revokeNamedSpaceKey
    case .forgotPassword: .forgotPassword
    case .resetPassword: .resetPassword
    case .checkout: .checkout
    case .verifyCheckout: .verifyCheckout
    case .updateQuantity: .updateQuantity
    case .portal: .portal
    case .exportAccount: .exportAccount
    case .deleteAccount: .deleteAccount
    case .supportNonce: .supportNonce
    case .supportTicket: .supportTicket
    case .interest: .interest
    case .violationReport: .violationReport
    case .publicKeys: .publicKeys
    case .clientDocument: .clientDocument
    case .openAPI: .openAPI
    }
  }
}
