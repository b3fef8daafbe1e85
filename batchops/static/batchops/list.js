"use strict";

/* Many lines pasted into the search are a list of ids: they go to the page that takes lists. */
(() => {
    const search = document.getElementById("searchbar");
    const many = document.getElementById("paste-many");
    if (!search || !many) {
        return;
    }
    search.addEventListener("paste", (event) => {
        const text = event.clipboardData ? event.clipboardData.getData("text") : "";
        if (text.trim().includes("\n")) {
            event.preventDefault();
            many.elements.batch_ids.value = text;
            many.submit();
        }
    });
})();
