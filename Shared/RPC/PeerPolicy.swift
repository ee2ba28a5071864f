// Which processes may open our socket at all? Decided from what the kernel says of the peer
// (SO_PEERCRED), before a byte is read: the same user, root, or a member of the group that
// owns the run directory by its primary group. File modes (directory 0750, sockets 0660) say
// the same; this is the second lock. Pure: credentials come in as arguments.

/// The user and group ids that are let in.
public struct PeerPolicy: Equatable, Sendable {
  public let userID: UInt32
  public let groupID: UInt32

  /// - Parameters:
  ///   - userID: our own effective user id.
  ///   - groupID: the group of the run directory.
  public init(userID: UInt32, groupID: UInt32) {
    self.userID = userID
    self.groupID = groupID
  }

  /// Whether a peer with these credentials may talk to us.
  public func admits(userID peerUser: UInt32, groupID peerGroup: UInt32) -> Bool {
    if peerUser == userID || peerUser == 0 { return true }
    // Group 0 says nothing: half the world's containers run with it.
    return groupID != 0 && peerGroup == groupID
  }
}
