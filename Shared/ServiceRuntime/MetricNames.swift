// The names of the metrics that every process has. A name carries its service, so that four
// processes scraped into one place stay apart; names are literals, so that a grep finds them.

import RPC

struct MetricNames {
  let callSeconds: StaticString
  let uptime: StaticString
  let ready: StaticString
  let peers: StaticString
  let droppedLines: StaticString

  init(_ service: Service) {
    switch service {
    case .edge:
      callSeconds = "bindery_edge_rpc_seconds"
      uptime = "bindery_edge_uptime_seconds"
      ready = "bindery_edge_ready"
      peers = "bindery_edge_peer_connected"
      droppedLines = "bindery_edge_log_lines_dropped"
    case .auth:
      callSeconds = "bindery_auth_rpc_seconds"
      uptime = "bindery_auth_uptime_seconds"
      ready = "bindery_auth_ready"
      peers = "bindery_auth_peer_connected"
      droppedLines = "bindery_auth_log_lines_dropped"
    case .billing:
      callSeconds = "bindery_billing_rpc_seconds"
      uptime = "bindery_billing_uptime_seconds"
      ready = "bindery_billing_ready"
      peers = "bindery_billing_peer_connected"
      droppedLines = "bindery_billing_log_lines_dropped"
    case .scheduler:
      callSeconds = "bindery_scheduler_rpc_seconds"
      uptime = "bindery_scheduler_uptime_seconds"
      ready = "bindery_scheduler_ready"
      peers = "bindery_scheduler_peer_connected"
      droppedLines = "bindery_scheduler_log_lines_dropped"
    case .operator:
      callSeconds = "bindery_operator_rpc_seconds"
      uptime = "bindery_operator_uptime_seconds"
      ready = "bindery_operator_ready"
      peers = "bindery_operator_peer_connected"
      droppedLines = "bindery_operator_log_lines_dropped"
    }
  }
}
