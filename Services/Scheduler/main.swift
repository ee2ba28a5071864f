// The scheduler: owner of the token blobs after their first write, checkpointer of both
// databases. The life of the process is in ServiceRuntime; what this one does, in Scheduler.swift.

import ServiceRuntime

ServiceProcess.run(Scheduler.self)
