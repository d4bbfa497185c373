/// Symbol visibility: everything in coir is hidden unless it carries COIR_API.
#pragma once

#define COIR_API __attribute__((visibility("default")))
