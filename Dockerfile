# The service, which is the default target, and the demo: the same with the simulator (--target demo).
#
# BuildKit and the classic builder both take it: there is no syntax line to fetch, and there are no cache mounts. Crates are compiled in a layer of
# their own instead, which a registry's cache hands to the next machine; what lies in a mount stays behind.

# Pinned by tag. A mirror's name, or a digest, may stand for it.
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm
# BuildKit sets it, and so compiles on the machine's own processor for any --platform.
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
# A number, so that Kubernetes sees that it is not root's.
USER 65532:65532
# glibc otherwise keeps as much memory again as faces ever took.
ENV MALLOC_MMAP_THRESHOLD_=65536
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
# From outside of the container its loopback cannot be reached.
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
