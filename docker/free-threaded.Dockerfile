# A compiled free-threaded Python: the image of the builds 3.13t, 3.14t and 3.15t, which have no official image.
#
#     lab images build 3.13t
#     docker build -f docker/free-threaded.Dockerfile -t multicore-lab-base:3.13t - < docker/free-threaded.Dockerfile
#     docker buildx build --platform linux/amd64,linux/arm64 -f docker/free-threaded.Dockerfile docker
#
# Nothing in it depends on the architecture, and it needs no build context. There is no "syntax" line, because it would
# ask a registry. There is no RUN --mount, because it would need BuildKit, which the engine's API does not offer.
#
# BASE is a Debian with apt. If no registry answers, docker/debian-base trixie makes it.
ARG BASE=debian:trixie-slim


FROM ${BASE} AS build
LABEL org.multicore-lab.stage="build"
# The compilers come first, so that a build of another source or version starts from here.
RUN apt-get -q update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends \
        ca-certificates curl gcc g++ make pkgconf xz-utils libc6-dev libffi-dev libmpdec-dev libssl-dev zlib1g-dev
# SOURCE is where the release comes from. "upstream" is python.org, and the file is checked against SHA256. "debian" is
# the same file inside Debian's source package, checked by apt, for machines that can reach only Debian's packages.
# Debian's patches are left out. The version is then the version in the release of BASE, and only the first two numbers
# of VERSION count.
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
# CONFIGURE takes more flags. With "--enable-optimizations --with-lto" a build takes five to ten times as long.
ARG CONFIGURE=
# pip and the tests are left out, because a cell uses the standard library only. The byte code is kept, because a cell's
# root is read-only. The byte code of -O and -OO is removed. DESTDIR has all files, so that the last stage copies one
# folder.
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
# Install the libraries that Python is linked to, from the packages that have them in this release. Then prove that it
# starts, has the modules that a cell needs, and has no GIL.
RUN set -eu; \
    apt-get -q update; \
    DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends $(cat /packages); \
    rm -rf /packages /var/lib/apt/lists/* /var/cache/apt/*; \
    python3 -I -c 'import _ctypes, _hashlib, _multiprocessing, _posixshmem, sys, zlib; sys.exit(sys._is_gil_enabled())'
ENV LANG=C.UTF-8
USER 65534:65534
CMD ["python3"]
