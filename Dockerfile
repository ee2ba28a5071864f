# One image for each service, from one build.
#
#   docker build --target edge -t bindery-edge .        (auth, billing, scheduler, operator alike)
#
# The executables carry the Swift library, migrations, catalogue and web assets; the images add the
# C library, SQLite, OpenSSL and the certificate authorities, and run as a user without privileges.
# No builder extension is used: the classic builder and every other one build it.

ARG BUILDER_IMAGE=swift:6.3-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

# hadolint ignore=DL3006
FROM ${BUILDER_IMAGE} AS build
# hadolint ignore=DL3008
RUN dpkg -s libsqlite3-dev libssl-dev >/dev/null 2>&1 \
  || { apt-get update \
  && apt-get install -y --no-install-recommends libsqlite3-dev libssl-dev \
  && rm -rf /var/lib/apt/lists/*; }
WORKDIR /src
COPY . .
RUN swift build -c release --static-swift-stdlib \
  && mkdir /out \
  && for name in bindery bindery-edge bindery-auth bindery-billing bindery-scheduler; do \
       strip -o "/out/$name" ".build/release/$name" || exit 1; \
     done

# hadolint ignore=DL3006
FROM ${RUNTIME_IMAGE} AS runtime
# hadolint ignore=DL3008
RUN dpkg -s libsqlite3-0 libssl3 libstdc++6 ca-certificates >/dev/null 2>&1 \
  || { apt-get update \
  && apt-get install -y --no-install-recommends libsqlite3-0 libssl3 libstdc++6 ca-certificates \
  && rm -rf /var/lib/apt/lists/*; }
# A user for each service, one group for all: files of the group are shared, and what is a service's
# alone (auth's keys, 0600) stays closed to the others also on a shared volume.
RUN groupadd --gid 10000 bindery \
  && for user in operator:10000 edge:10001 auth:10002 billing:10003 scheduler:10004; do \
       useradd --uid "${user#*:}" --gid 10000 --no-create-home --home-dir /nonexistent \
         --shell /usr/sbin/nologin "bindery-${user%:*}" || exit 1; \
     done \
  && install -d -g bindery -m 2770 /var/lib/bindery /run/bindery
COPY deploy/containers/ready /usr/local/bin/ready
ENV BINDERY_DATA_DIR=/var/lib/bindery BINDERY_RUN_DIR=/run/bindery
WORKDIR /var/lib/bindery

FROM runtime AS operator
USER 10000:10000
COPY --from=build /out/bindery /usr/local/bin/bindery
ENTRYPOINT ["/usr/local/bin/bindery"]
CMD ["settings"]

FROM runtime AS scheduler
USER 10004:10000
COPY --from=build /out/bindery-scheduler /usr/local/bin/bindery-scheduler
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["ready", "9083"]
ENTRYPOINT ["/usr/local/bin/bindery-scheduler"]

FROM runtime AS billing
USER 10003:10000
COPY --from=build /out/bindery-billing /usr/local/bin/bindery-billing
ENV BILLING_LISTEN=none
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["ready", "9082"]
ENTRYPOINT ["/usr/local/bin/bindery-billing"]

FROM runtime AS auth
USER 10002:10000
COPY --from=build /out/bindery-auth /usr/local/bin/bindery-auth
ENV AUTH_LISTEN=none
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["ready", "9081"]
ENTRYPOINT ["/usr/local/bin/bindery-auth"]

FROM runtime AS edge
USER 10001:10000
COPY --from=build /out/bindery-edge /usr/local/bin/bindery-edge
ENV EDGE_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["ready", "9080"]
ENTRYPOINT ["/usr/local/bin/bindery-edge"]
