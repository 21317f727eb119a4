# The image is the binary, the CA certificates and a data folder; nothing else.
# For several kinds of machine: docker buildx build --platform linux/amd64,linux/arm64 .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG COMMIT=unknown TARGETOS=linux TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags "-s -w -X github.com/miq/pixel/modules/build.commit=$COMMIT" -o /pixel . \
 && mkdir -p /root-fs/data /root-fs/etc/ssl/certs \
 && cp /pixel /root-fs/pixel \
 && cp /etc/ssl/certs/ca-certificates.crt /root-fs/etc/ssl/certs/ \
 && chown -R 65532:65532 /root-fs/data

FROM scratch
COPY --from=build /root-fs /
ENV PIXEL_DATA_DIR=/data PIXEL_LOG_FORMAT=json
USER 65532:65532
VOLUME /data
EXPOSE 8080 8081 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/pixel", "health"]
ENTRYPOINT ["/pixel"]
