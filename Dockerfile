# Builds the service (the default target) and the demo, which includes the simulator (--target demo).
#
# BuildKit and the classic builder both accept this file: it has no syntax line and no cache mounts. Crates are compiled in a separate layer, which
# a registry cache can share between machines, unlike a cache mount.

# Pinned by tag. Can be replaced by a mirror's image or a digest.
ARG RUST_IMAGE=docker.io/library/rust:1.95.0-slim-bookworm
# BuildKit sets it, so that the compiler runs natively for any --platform.
ARG BUILDPLATFORM

FROM --platform=${BUILDPLATFORM:-linux/amd64} ${RUST_IMAGE} AS toolchain
ARG TARGETARCH
ENV TARGETARCH=${TARGETARCH}
WORKDIR /source
COPY docker/build /usr/local/bin/build
RUN build prepare

FROM toolchain AS dependencies
COPY Cargo.toml Cargo.lock ./
COPY simulator/Cargo.toml simulator/
RUN build dependencies --no-default-features

FROM dependencies AS program
COPY . .
RUN build program --no-default-features

FROM scratch AS service
COPY --from=program /image /
# A number, so that Kubernetes can check that it is not root.
USER 65532:65532
EXPOSE 50051 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/usr/local/bin/face-liveness-facade", "health"]
ENTRYPOINT ["/usr/local/bin/face-liveness-facade"]
CMD ["serve"]
ARG SOURCE
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="face-liveness-facade" \
      org.opencontainers.image.description="A typed, cached gRPC call in front of Amazon Rekognition Face Liveness" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM dependencies AS demo-dependencies
RUN build dependencies

FROM demo-dependencies AS demo-program
COPY . .
RUN build program

FROM scratch AS demo
COPY --from=demo-program /image /
USER 65532:65532
EXPOSE 50051 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=2s --timeout=5s --start-period=5s CMD ["/usr/local/bin/face-liveness-facade", "health"]
ENTRYPOINT ["/usr/local/bin/face-liveness-facade"]
# The loopback address of a container cannot be reached from outside.
CMD ["demo", "--listen", "[::]:50051", "--admin-listen", "[::]:9090"]
ARG SOURCE
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="face-liveness-facade-demo" \
      org.opencontainers.image.description="face-liveness-facade with a simulated Amazon Rekognition Face Liveness, for tests" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM service
