// The edge: the one process that faces the internet. A request walks through these files in order:
//
//   Admission   is it for us, from an allowed page, from a client that is not blocked?
//   Route       which service, which credential, which transport?
//   Resolve     what does the credential open?
//   EdgeHandler+Prepare, UpstreamHead   unseal the token, write the upstream's head
//   MCPExchange, Relay, LegacyEndpoint   bodies both ways, the answer's head
//   Record, EdgeMetrics   that it happened, and nothing of what was said

import ServiceRuntime

ServiceProcess.run(Edge.self)
