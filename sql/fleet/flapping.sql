select cast(node as text), cast(extract(epoch from now()) * 1000 as bigint) - at, phones
from usrlocd.flapping
