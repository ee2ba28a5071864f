// Auth: accounts, sign-in, connections and their credentials. The life of the process is in
// ServiceRuntime; what this one does, in Auth.swift.

import ServiceRuntime

ServiceProcess.run(Auth.self)
