#include "pgctl/guard/link_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

static void drop(struct link_peer *peer)
{
    if (peer->fd != -1) {
        (void)close(peer->fd);
    }
    peer->fd = -1;
    peer->serial = 0;
    peer->filled = 0;
}

/* The lock, and in it the number of who holds it, for people and for the other guard's refusal. */
static enum status take_lock(struct link *link, struct err *err)
{
    char path[GUARD_PATH_MAX + 8];
    char number[16] = "";
    struct text text;

    text_init(&text, path, sizeof path);
    text_addf(&text, "%s.lock", link->path);
    link->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (link->lock_fd == -1) {
        return ERR(err, IO, "could not open \"%s\": %s", path, strerror(errno));
    }
    if (flock(link->lock_fd, LOCK_EX | LOCK_NB) == -1) {
        const ssize_t length = read(link->lock_fd, number, sizeof number - 1);

        number[length > 0 ? length : 0] = '\0';
        number[strcspn(number, "\n")] = '\0';
        return ERR(err, REFUSED, "\"%s\" is held by the guard with process %s", path, number);
    }
    text_init(&text, number, sizeof number);
    text_addf(&text, "%d\n", (int)getpid());
    if (ftruncate(link->lock_fd, 0) == -1 ||
        write(link->lock_fd, number, text.length) != (ssize_t)text.length) {
        return ERR(err, IO, "could not write \"%s\": %s", path, strerror(errno));
    }
    return STATUS_OK;
}

/* Under the lock, so a socket that is there is one that a dead guard left behind. */
static enum status make_socket(struct link *link, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    mode_t mask;
    int rc;

    if (!text_copy(address.sun_path, sizeof address.sun_path, link->path)) {
        return ERR(
            err, INVALID, "\"%s\" is too long for a socket: at most %zu bytes", link->path,
            sizeof address.sun_path - 1);
    }
    link->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->listen_fd == -1) {
        return ERR(err, IO, "could not make a socket: %s", strerror(errno));
    }
    if (unlink(link->path) == -1 && errno != ENOENT) {
        return ERR(err, IO, "could not remove \"%s\": %s", link->path, strerror(errno));
    }
    mask = umask(0177);
    rc = bind(link->listen_fd, (const struct sockaddr *)&address, sizeof address);
    (void)umask(mask);
    if (rc == -1 || listen(link->listen_fd, LINK_PEERS_MAX) == -1) {
        return ERR(err, IO, "could not listen at \"%s\": %s", link->path, strerror(errno));
    }
    return STATUS_OK;
}

enum status link_open(struct link *link, const char *path, struct err *err)
{
    enum status status;

    link->lock_fd = -1;
    link->listen_fd = -1;
    link->next_serial = 1;
    for (size_t i = 0; i < LINK_PEERS_MAX; i++) {
        link->peers[i].fd = -1;
        drop(&link->peers[i]);
    }
    if (!text_copy(link->path, sizeof link->path, path)) {
        return ERR(err, INVALID, "the path of the socket is too long");
    }
    status = take_lock(link, err);
    if (status == STATUS_OK) {
        status = make_socket(link, err);
    }
    return status;
}

void link_close(struct link *link)
{
    for (size_t i = 0; i < LINK_PEERS_MAX; i++) {
        drop(&link->peers[i]);
    }
    if (link->listen_fd != -1) {
        (void)close(link->listen_fd);
        (void)unlink(link->path);
    }
    /* The lock's file stays: to remove it would let two guards hold two files of one name. */
    if (link->lock_fd != -1) {
        (void)close(link->lock_fd);
    }
}

static bool is_trusted(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == -1) {
        return false;
    }
    return peer.uid == 0 || peer.uid == geteuid();
}

static struct link_peer *find_free(struct link *link)
{
    for (size_t i = 0; i < LINK_PEERS_MAX; i++) {
        if (link->peers[i].fd == -1) {
            return &link->peers[i];
        }
    }
    return NULL;
}

void link_accept(struct link *link)
{
    const int fd = accept4(link->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct link_peer *peer;

    if (fd == -1) {
        return; /* It has gone again. */
    }
    peer = find_free(link);
    if (peer == NULL || !is_trusted(fd)) {
        log_warning("refused a connection: %s", peer == NULL ? "too many" : "not our user");
        (void)close(fd);
        return;
    }
    peer->fd = fd;
    peer->serial = link->next_serial++;
    peer->filled = 0;
}

bool link_read(struct link_peer *peer)
{
    const ssize_t count =
        read(peer->fd, peer->bytes + peer->filled, sizeof peer->bytes - peer->filled);

    if (count > 0) {
        peer->filled += (size_t)count;
        return true;
    }
    if (count == -1 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    drop(peer);
    return false;
}

bool link_next(struct link_peer *peer, struct guard_message *message)
{
    size_t used = 0;
    struct err err;

    if (guard_decode(peer->bytes, peer->filled, message, &used, &err) != STATUS_OK) {
        log_warning("dropped a connection: %s", err.text);
        drop(peer);
        return false;
    }
    if (used == 0) {
        return false;
    }
    memmove(peer->bytes, peer->bytes + used, peer->filled - used);
    peer->filled -= used;
    return true;
}

void link_send(struct link_peer *peer, const uint8_t *bytes, size_t size)
{
    if (peer->fd != -1 && send(peer->fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size) {
        /* It does not read. Half a message is of no use to it, and we do not queue. */
        drop(peer);
    }
}

struct link_peer *link_find(struct link *link, uint64_t serial)
{
    for (size_t i = 0; i < LINK_PEERS_MAX; i++) {
        if (link->peers[i].fd != -1 && link->peers[i].serial == serial) {
            return &link->peers[i];
        }
    }
    return NULL;
}
