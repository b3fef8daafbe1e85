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

    // Counted from when the page was made or renewed, by the server's clock: the reader's may be wrong.
    const known = new WeakMap();

    function countAges() {
        for (const element of document.querySelectorAll("time[data-age]")) {
            let age = known.get(element);
            if (!age || age.said !== element.dataset.age) {
                age = {said: element.dataset.age, from: performance.now()};
                known.set(element, age);
            }
            const passed = (performance.now() - age.from) / 1000;
            element.textContent = span(Math.floor(Number(age.said) + passed));
        }
    }

    countAges();
    document.addEventListener("renewed", countAges);
    setInterval(countAges, 5000);
})();
