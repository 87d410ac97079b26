# A free-threaded Python, compiled: the image of the builds 3.13t, 3.14t and 3.15t, which no official image has.
#
#     lab images build 3.13t
#     docker build -f docker/free-threaded.Dockerfile -t multicore-lab-base:3.13t - < docker/free-threaded.Dockerfile
#     docker buildx build --platform linux/amd64,linux/arm64 -f docker/free-threaded.Dockerfile docker
#
# Nothing in it depends on the architecture, and it needs no build context. There is no "syntax" line and no RUN
# --mount on purpose: the first would ask a registry, the second would need BuildKit, which the engine's API alone lacks.
#
# BASE is a Debian with apt; where no registry answers, docker/debian-base trixie makes one.
ARG BASE=debian:trixie-slim


FROM ${BASE} AS build
LABEL org.multicore-lab.stage="build"
# Compilers first: another source or another version then starts from here.
RUN apt-get -q update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends \
        ca-certificates curl gcc g++ make pkgconf xz-utils libc6-dev libffi-dev libmpdec-dev libssl-dev zlib1g-dev
# SOURCE is where the release comes from: "upstream" is python.org's, checked against SHA256; "debian" is the same file
# inside Debian's source package, checked by apt, for machines that reach Debian's packages alone. Debian's own patches
# are left out. Debian's version is the one that BASE's release has; of VERSION the first two numbers count then.
ARG SOURCE=upstream
ARG VERSION=3.13.15
ARG SHA256=1e66a7945a48390ee4c2a4268a0e4185884059a13c4aab6d148aa208deea4a76
RUN set -eu; \
    mkdir /source; cd /source; \
    case "$SOURCE" in \
        upstream) \
            curl --fail --silent --show-error --location --retry 3 --output python.tar.xz \
                "https://www.python.org/ftp/python/${VERSION%%[a-z]*}/Python-$VERSION.tar.xz"; \
            echo "$SHA256  python.tar.xz" | sha256sum --check - ;; \
        debian) \
            for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do \
                if [ -f "$list" ]; then sed -i 's/^deb /deb-src /; s/^Types: deb$/Types: deb-src/' "$list"; fi; \
            done; \
            apt-get -q update; \
            apt-get -q -o APT::Sandbox::User=root source --download-only --only-source "python$(echo "$VERSION" | cut -d. -f1-2)"; \
            mv python*.orig.tar.xz python.tar.xz ;; \
        *) echo "SOURCE is '$SOURCE'; it may be upstream or debian" >&2; exit 1 ;; \
    esac; \
    tar --extract --strip-components=1 --file python.tar.xz; \
    rm -rf /var/lib/apt/lists/*
# CONFIGURE takes more flags, such as "--enable-optimizations --with-lto", which take five to ten times as long.
ARG CONFIGURE=
# No pip and no tests: a cell has the standard library only. Byte code is kept, because a cell's root is read-only; that
# of -O and -OO is not. DESTDIR has all of it, so that the last stage copies one folder.
RUN set -eu; \
    cd /source; \
    ./configure --quiet --disable-gil --without-ensurepip --disable-test-modules --without-static-libpython $CONFIGURE; \
    make --silent -j "$(nproc)"; \
    make --silent install DESTDIR=/made; \
    cd /made/usr/local; \
    rm -rf share include lib/pkgconfig lib/python3.*/idlelib lib/python3.*/turtledemo lib/python3.*/tkinter; \
    rm -f bin/idle* bin/pydoc* bin/python3*-config; \
    find . -name '*.opt-[12].pyc' -delete; \
    ln -s python3 bin/python; \
    for python in bin/python3.*t; do ln -sf "${python#bin/}" "${python%t}"; done; \
    find . -type f \( -name '*.so' -o -path './bin/python3*' \) > /binaries; \
    xargs strip --strip-unneeded < /binaries; \
    xargs ldd < /binaries \
        | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | sort -u | xargs -r realpath | xargs -r dpkg-query --search \
        | cut -d: -f1 | sort -u > /made/packages


FROM ${BASE}
ARG SOURCE=upstream
ARG VERSION=3.13.15
ARG BUILD=3.13t
ARG RECIPE=by-hand
LABEL org.multicore-lab.base="1" \
      org.multicore-lab.build="${BUILD}" \
      org.multicore-lab.source="${SOURCE}" \
      org.multicore-lab.recipe="${RECIPE}" \
      org.opencontainers.image.title="Free-threaded Python, compiled for multicore-lab" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="PSF-2.0"
COPY --from=build /made /
# The libraries that it is linked to, whatever their packages are called in this release. Then the proof: it starts, has
# what a cell needs, and no GIL.
RUN set -eu; \
    apt-get -q update; \
    DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends $(cat /packages); \
    rm -rf /packages /var/lib/apt/lists/* /var/cache/apt/*; \
    python3 -I -c 'import _ctypes, _hashlib, _multiprocessing, _posixshmem, sys, zlib; sys.exit(sys._is_gil_enabled())'
ENV LANG=C.UTF-8
USER 65534:65534
CMD ["python3"]
