// What many TLS sessions share: certificate and key of a server, trust roots and remembered
// sessions of a client. TLS 1.2 and later, no renegotiation, no compression; a client always
// verifies chain, dates and name. A server's files are read again on demand (SIGHUP).

import COpenSSL
import Glibc
import Posix
import Synchronization

/// Why a TLS context could not be made.
public enum TLSContextError: Error, Equatable {
  /// The certificate file is missing or no PEM chain.
  case certificateUnreadable
  /// The key file is missing or no PEM key.
  case keyUnreadable
  /// Key and certificate are not a pair.
  case keyMismatch
  /// The file of trust roots is missing or holds no certificate.
  case trustUnreadable
}

// Unchecked because OpenSSL counts references and locks inside.
private struct ContextPointer: @unchecked Sendable {
  let raw: OpaquePointer
}

/// A server's certificate chain and key; reloading replaces them for later connections.
public final class ServerTLS: Sendable {
  private let current: Mutex<ContextPointer>
  private let certificatePath: String
  private let keyPath: String

  /// Reads a PEM chain and its key.
  /// - Throws: `TLSContextError` that names the file by its role.
  public init(certificatePath: String, keyPath: String) throws(TLSContextError) {
    self.certificatePath = certificatePath
    self.keyPath = keyPath
    current = Mutex(ContextPointer(raw: try Self.load(certificatePath, keyPath)))
  }

  /// Reads the files again; on failure the old ones stay in use.
  /// - Throws: `TLSContextError`.
  public func reload() throws(TLSContextError) {
    let fresh = ContextPointer(raw: try Self.load(certificatePath, keyPath))
    let old = current.withLock { held in
      let old = held
      held = fresh
      return old
    }
    SSL_CTX_free(old.raw)  // running sessions hold references of their own
  }

  /// A session for an accepted connection.
  public func makeSession() -> TLSSession {
    current.withLock { TLSSession(context: $0.raw, server: true) }
  }

  private static func load(
    _ certificatePath: String, _ keyPath: String
  ) throws(TLSContextError) -> OpaquePointer {
    let context = makeContext(TLS_server_method())
    do throws(TLSContextError) {
      guard SSL_CTX_use_certificate_chain_file(context, certificatePath) == 1 else {
        throw .certificateUnreadable
      }
      guard SSL_CTX_use_PrivateKey_file(context, keyPath, SSL_FILETYPE_PEM) == 1 else {
        ERR_clear_error()
        throw access(keyPath, R_OK) == 0 ? .keyMismatch : .keyUnreadable
      }
      guard SSL_CTX_check_private_key(context) == 1 else { throw .keyMismatch }
    } catch {
      SSL_CTX_free(context)
      throw error
    }
    SSL_CTX_set_session_id_context(context, "bindery", 7)
    SSL_CTX_set_alpn_select_cb(
      context,
      { _, chosen, length, offered, count, _ in
        // Only HTTP/1.1 is spoken; a client that offers other things alone is refused.
        var index: UInt32 = 0
        while index < count {
          let size = UInt32(offered![Int(index)])
          guard index + 1 + size <= count else { break }
          if size == 8, memcmp(offered! + Int(index) + 1, "http/1.1", 8) == 0 {
            chosen!.pointee = offered! + Int(index) + 1
            length!.pointee = 8
            return SSL_TLSEXT_ERR_OK
          }
          index += 1 + size
        }
        return SSL_TLSEXT_ERR_ALERT_FATAL
      }, nil)
    return context
  }
}

/// A client's trust roots. Sessions for resumption are kept by whoever connects.
public final class ClientTLS: Sendable {
  private let context: ContextPointer

  /// Trusts the system's roots, and those of `trustPath` (PEM) when given.
  /// - Throws: `TLSContextError.trustUnreadable`.
  public init(trustPath: String?) throws(TLSContextError) {
    let context = makeContext(TLS_client_method())
    SSL_CTX_set_default_verify_paths(context)
    if let trustPath, SSL_CTX_load_verify_file(context, trustPath) != 1 {
      SSL_CTX_free(context)
      throw .trustUnreadable
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
    _ = bindery_ssl_ctx_set_session_cache_mode(
      context, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL))
    self.context = ContextPointer(raw: context)
  }

  /// A session that will accept only a certificate for `host`, a DNS name or IP literal;
  /// `resuming` is tried first when it can be.
  public func makeSession(host: String, resuming: ResumptionTicket? = nil) -> TLSSession {
    let session = TLSSession(context: context.raw, server: false)
    let parameters = SSL_get0_param(session.pointer)
    if IPAddress(host) != nil {
      X509_VERIFY_PARAM_set1_ip_asc(parameters, host)
    } else {
      X509_VERIFY_PARAM_set_hostflags(
        parameters,
        UInt32(
          X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT))
      X509_VERIFY_PARAM_set1_host(parameters, host, host.utf8.count)
      _ = bindery_ssl_set_server_name(session.pointer, host)
    }
    if let resuming { SSL_set_session(session.pointer, resuming.session) }
    return session
  }
}

/// A finished session that a later connection to the same host may resume.
public final class ResumptionTicket {
  let session: OpaquePointer

  /// What `session` offers for resumption now, or nil. Under TLS 1.3 tickets come after the
  /// handshake, so ask when the connection was used.
  public init?(of session: TLSSession) {
    guard let held = SSL_get1_session(session.pointer) else { return nil }
    guard SSL_SESSION_is_resumable(held) == 1 else {
      SSL_SESSION_free(held)
      return nil
    }
    self.session = held
  }

  deinit { SSL_SESSION_free(session) }
}

private func makeContext(_ method: OpaquePointer) -> OpaquePointer {
  let context: OpaquePointer = SSL_CTX_new(method)
  _ = bindery_ssl_ctx_set_minimum_tls12(context)
  _ = bindery_ssl_ctx_set_mode(context, bindery_ssl_modes())
  SSL_CTX_set_options(context, bindery_ssl_options())
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20")
  bindery_ssl_ctx_set_read_ahead(context, 1)
  return context
}
