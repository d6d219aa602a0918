# One file for every action: the folder it lies in is the build context, so
# that ./actions/* can name it. Two images are published from it: `deploy` and
# `build`. A container action cannot choose a stage, so the last one has all
# four programs, and each action.yml names its own as the entry point.
#
# No USER: files that the runner mounts into a container action belong to root.
# Source: https://docs.github.com/actions/reference/dockerfile-support-for-github-actions

FROM golang:1.26 AS compile
WORKDIR /src
ENV CGO_ENABLED=0
# Modules first: they change less often than the code.
COPY go.mod go.sum ./
RUN go mod download
RUN mkdir -p /deploy/usr/local/bin /deploy/etc/ssl/certs /deploy/tmp /build \
 && chmod 1777 /deploy/tmp \
 && cp /etc/ssl/certs/ca-certificates.crt /deploy/etc/ssl/certs/ \
 && cp /usr/local/go/lib/time/zoneinfo.zip /deploy/ \
 && printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' >/deploy/etc/passwd
COPY cmd cmd
COPY internal internal
RUN go build -trimpath -ldflags='-s -w' -o /build/ ./cmd/build-image ./cmd/deploy-staging ./cmd/promote ./cmd/rollback \
 && cp /build/deploy-staging /build/promote /build/rollback /deploy/usr/local/bin/

# Static, no shell.
FROM scratch AS deploy
LABEL org.opencontainers.image.source="https://github.com/fibership/fibership" org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/usr/local/bin ZONEINFO=/zoneinfo.zip SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
COPY --from=compile /deploy/ /

# With the Go toolchain, git and a C compiler.
FROM golang:1.26 AS build
LABEL org.opencontainers.image.source="https://github.com/fibership/fibership" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=compile /build/ /usr/local/bin/
