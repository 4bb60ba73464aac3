"""What people and programs see of the service by HTTP: the page, REST, health; needs `alta-sdk[service]`."""
