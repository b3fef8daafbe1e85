"use strict";

/* Keeps the bell and the tab's title up to date, and lets news about one's own changes pop up. */
(() => {
    const EVERY = 20000;
    const SHOWN = 12000;
    const KEPT = "notices-latest";
    const bell = document.querySelector(".bell");
    if (!bell) {
        return;
    }
    const count = bell.querySelector(".bell-count");
    const title = document.title;
    let after = Number(bell.dataset.latest);

    // What popped up on one page does not again on the next; what came in between still does.
    try {
        const kept = sessionStorage.getItem(KEPT);
        after = kept === null ? after : Number(kept);
    } catch {
        // Without storage, only what comes while this page is open pops up.
    }

    function keep(latest) {
        after = Math.max(after, latest);
        try {
            sessionStorage.setItem(KEPT, String(after));
        } catch {
            // See above.
        }
    }

    function show(unread) {
        const words = unread > 99 ? "99+" : String(unread);
        count.textContent = words;
        count.hidden = unread === 0;
        document.title = unread ? `(${words}) ${title}` : title;
    }

    const corner = document.createElement("div");
    corner.className = "toasts";
    corner.setAttribute("role", "status");
    document.body.append(corner);

    function pop(toast) {
        const box = document.createElement("div");
        box.className = `toast tone-${toast.tone}`;
        const link = document.createElement(toast.link ? "a" : "span");
        if (toast.link) {
            link.href = toast.link;
        }
        link.textContent = toast.title;
        const close = document.createElement("button");
        close.type = "button";
        close.className = "toast-close";
        close.textContent = "Close";
        close.addEventListener("click", () => box.remove());
        box.append(link, close);
        corner.append(box);
        // Nobody loses what they are reading: it stays while it is pointed at or has the focus.
        const leave = () => {
            if (box.matches(":hover, :focus-within")) {
                setTimeout(leave, 2000);
            } else {
                box.remove();
            }
        };
        setTimeout(leave, SHOWN);
    }

    async function ask() {
        if (document.hidden) {
            return;
        }
        try {
            const response = await fetch(`${bell.dataset.news}?after=${after}`, {
                headers: { Accept: "application/json" },
                redirect: "error",
            });
            if (!response.ok) {
                return;
            }
            const news = await response.json();
            show(news.unread);
            news.toasts.forEach(pop);
            keep(news.latest);
        } catch {
            // The server is away or the session has ended; the next page says so.
        }
    }

    // Following a notice reads it.
    document.addEventListener("click", (event) => {
        const link = event.target.closest("a[data-notice]");
        const form = link?.closest(".is-unread")?.querySelector("form");
        if (form) {
            fetch(form.action, { method: "POST", body: new FormData(form), keepalive: true, redirect: "manual" });
        }
    });

    show(Number(bell.dataset.unread));
    if (after < Number(bell.dataset.latest)) {
        ask();
    } else {
        keep(Number(bell.dataset.latest));
    }
    setInterval(ask, EVERY);
    document.addEventListener("visibilitychange", ask);
})();
