"use strict";

/* Tells the server the reader's time zone, and keeps ages on the page up to date. */
(() => {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (/^[A-Za-z0-9_+/-]+$/.test(zone)) {
        const secure = window.location.protocol === "https:" ? "; Secure" : "";
        document.cookie = `time_zone=${zone}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
    }

    function span(seconds) {
        if (seconds < 100) {
            return `${seconds} s`;
        }
        if (seconds < 100 * 60) {
            return `${Math.floor(seconds / 60)} min`;
        }
        if (seconds < 48 * 3600) {
            return `${Math.floor(seconds / 3600)} h`;
        }
        return `${Math.floor(seconds / 86400)} days`;
    }

    // Counted from when the page was made, by the server's clock: the reader's may be wrong.
    const opened = performance.now();
    const ages = Array.from(document.querySelectorAll("time[data-age]"), (element) => ({
        element,
        before: Number(element.dataset.age),
    }));
    setInterval(() => {
        const passed = (performance.now() - opened) / 1000;
        for (const age of ages) {
            age.element.textContent = span(Math.floor(age.before + passed));
        }
    }, 5000);
})();
