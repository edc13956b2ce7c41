document.querySelector("main").textContent = "usrlocd";
