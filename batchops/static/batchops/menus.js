"use strict";

/* A menu closes on Escape, and when something else is clicked. */
(() => {
    const menus = Array.from(document.querySelectorAll("details.menu"));
    document.addEventListener("click", (event) => {
        for (const menu of menus) {
            if (menu.open && !menu.contains(event.target)) {
                menu.open = false;
            }
        }
    });
    document.addEventListener("keydown", (event) => {
        const menu = menus.find((one) => one.open);
        if (event.key === "Escape" && menu) {
            menu.open = false;
            menu.querySelector("summary").focus();
        }
    });
})();

/* A link to something that is folded unfolds it. */
(() => {
    document.addEventListener("click", (event) => {
        const link = event.target.closest("[data-opens]");
        if (link) {
            document.getElementById(link.dataset.opens).open = true;
        }
    });
    for (const menu of document.querySelectorAll("details.menu")) {
        menu.addEventListener("toggle", () => {
            const field = menu.querySelector("input[type=text]");
            if (menu.open && field) {
                field.focus();
            }
        });
    }
})();
